"""The classic figures of a course on neural networks, each drawn from real runs of seconds.

    python -m rl_gen_lab.lessons --data package:digits --out lessons

optimizers      paths of six update rules in a ravine across the axes, each at the best of the same learning rates
activations     sigmoid to ELU: their slopes, the spread of a deep network's layers, and how it learns with each
learning_rates  the loss for learning rates from too small to too large; by the mean of the inputs; by schedule
first_losses    the loss before anything is learned, beside what it should be on paper
regularizers    the gap between training and held-out images, without and with each regularizer

The data are any images that show one category each; held out are those of val and test, by which nothing is chosen.
Needs matplotlib, which the extra `lessons` has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.lazy import LazyModule, torch
from rl_gen_lab.cli.settings import Count, Ranged, Seed
from rl_gen_lab.runs.files import save_errors

if TYPE_CHECKING:
    from rl_gen_lab.training.lesson_runs import Points

LessonName = Literal["optimizers", "activations", "learning_rates", "first_losses", "regularizers"]
runs: Any = LazyModule("rl_gen_lab.training.lesson_runs")  # needs torch
DEEP = 8  # layers of the lesson on activations
FEW = 120  # training images of the lesson on regularizers: few enough to be learned by heart


@dataclass(frozen=True)
class Config(Ranged):
    """Draw the classic figures of a course from real runs."""

    # Folder of images that show one category each, or pictures of a package.
    data: Path = Path("package:digits")
    # Folder of the figures.
    out: Path = Path("lessons")
    # Figures to draw.
    lessons: tuple[LessonName, ...] = get_args(LessonName)
    # Passes over the training images in each run.
    epochs: Count = 30
    # Seed of the first weights and of the order of images.
    seed: Seed = 0


def optimizers(figure: Any, points: Points, config: Config) -> None:
    """Paths in a ravine, and the height along them."""
    plane, curve = figure.subplots(1, 2)
    x, y = torch.meshgrid(torch.linspace(-4.5, 1.5, 120), torch.linspace(-2.2, 1.2, 120), indexing="xy")
    levels = [0.1, 0.5, 1, 2, 4, 8, 16, 32]
    plane.contour(x, y, runs.height(torch.stack((x, y), -1)), levels=levels, colors="0.8")
    for name in runs.OPTIMIZERS:
        rate, path = runs.best_descent(name)
        plane.plot(path[:, 0], path[:, 1], ".-", ms=3, lw=1)
        curve.semilogy(runs.height(path).clamp(min=1e-12), label=f"{name}, {rate:.2g}")
    plane.set(title="the way down a ravine", xlim=(-4.5, 1.5), ylim=(-2.2, 1.2))
    curve.set(title="height, each at its best learning rate", xlabel="updates", ylim=(1e-9, 100))
    curve.legend(fontsize=8)


def activations(figure: Any, points: Points, config: Config) -> None:
    """Slopes, the spread of the units layer by layer, and the loss of a deep network."""
    slope, spread, loss = figure.subplots(1, 3)
    centered = points.shifted(-points.train[0].mean(0))
    for name, make in runs.ACTIVATIONS.items():
        line = torch.linspace(-5, 5, 201, requires_grad=True)
        (slopes,) = torch.autograd.grad(make()(line).sum(), line)
        slope.plot(line.detach(), slopes)
        network = runs.make_network(centered, config.seed, name, layers=DEEP)
        spread.semilogy(range(1, DEEP + 1), runs.spreads(network, centered.train[0]), "o-", ms=3)
        loss.plot(runs.train_network(network, centered, config.epochs, config.seed, rate=0.05)["loss"], label=name)
    slope.set(title="slope: a sigmoid passes on at most 1/4", xlabel="input")
    spread.set(title="spread over images, before learning", xlabel="layer")
    loss.set(title=f"loss of {DEEP} layers [nats]", xlabel="epochs")
    loss.legend(fontsize=8)


def learning_rates(figure: Any, points: Points, config: Config) -> None:
    """Learning rates, inputs with and without mean zero, and schedules."""
    rates, means, plans = figure.subplots(1, 3)
    for rate in (0.001, 0.01, 0.1, 1.0, 3.0):
        network = runs.make_network(points, config.seed)
        rates.plot(
            runs.train_network(network, points, config.epochs, config.seed, rate=rate)["loss"], label=f"{rate:g}"
        )
    rates.set(title="loss [nats] by learning rate", xlabel="epochs", ylim=(0, 2 * math.log(points.classes)))
    short = max(config.epochs // 3, 1)
    shifts = {"mean zero": -points.train[0].mean(0), "as they are": 0 * torch.ones(()), "plus 3": 3 * torch.ones(())}
    tried = [10 ** (k / 4) for k in range(-10, 5)]
    for name, shift in shifts.items():
        moved, ends = points.shifted(shift), []
        for rate in tried:
            network = runs.make_network(moved, config.seed)
            ends.append(runs.train_network(network, moved, short, config.seed, rate=rate)["loss"][-1])
        means.loglog(tried, ends, "o-", ms=3, label=name)
    means.set(title=f"loss of epoch {short} by the inputs' mean", xlabel="learning rate", ylim=(0.002, 10))
    schedules: dict[str, Callable[[float], float]] = {
        "constant": lambda done: 1.0,
        "step": lambda done: 0.3 ** int(3 * done),
        "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    }
    for name, schedule in schedules.items():
        network = runs.make_network(points, config.seed)
        record = runs.train_network(network, points, config.epochs, config.seed, rate=1.0, schedule=schedule)
        plans.semilogy(record["loss"], label=name)
    plans.set(title="loss by schedule, first rate 1", xlabel="epochs")
    for axes in (rates, means, plans):
        axes.legend(fontsize=8)


def first_losses(figure: Any, points: Points, config: Config) -> None:
    """Three losses by the size of the first weights, beside those on paper."""
    from rl_gen_lab.classic.linear import hinge_max, hinge_sum

    axes = figure.subplots(1, 1)
    classes, (inputs, labels) = points.classes, points.train
    losses: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
        f"sum of hinges: K - 1 = {classes - 1}": (hinge_sum, classes - 1.0),
        "largest hinge: 1": (hinge_max, 1.0),
        f"cross-entropy: ln K = {math.log(classes):.3f}": (torch.nn.functional.cross_entropy, math.log(classes)),
    }
    sizes = [10 ** (k / 4) for k in range(-16, 5)]
    weights = torch.randn(inputs.shape[1], classes, generator=torch.Generator().manual_seed(config.seed))
    for i, (name, (loss, paper)) in enumerate(losses.items()):
        values = [float(loss(inputs @ (size * weights), labels)) for size in sizes]
        axes.loglog(sizes, values, color=f"C{i}", label=name)
        axes.axhline(paper, color=f"C{i}", lw=0.8, ls=":")
    title = "the loss before learning: as on paper while the weights are small"
    axes.set(title=title, xlabel="spread of the first weights")
    axes.legend(fontsize=8)


def regularizers(figure: Any, points: Points, config: Config) -> None:
    """Accuracies on training and held-out images, learned from few, with one regularizer at a time."""
    few = points.first(FEW)
    kinds: dict[str, tuple[dict[str, float], float]] = {
        "none": ({}, 0.0),
        "weight decay 0.03": ({"decay": 0.03}, 0.0),
        "dropout 0.5": ({}, 0.5),
        "label smoothing 0.2": ({"smoothing": 0.2}, 0.0),
        "noise 0.3 on the inputs": ({"noise": 0.3}, 0.0),
    }
    panels = figure.subplots(1, len(kinds), sharey=True)
    for axes, (name, (settings, dropout)) in zip(panels, kinds.items(), strict=True):
        network = runs.make_network(few, config.seed, layers=2, dropout=dropout)
        record = runs.train_network(network, few, 4 * config.epochs, config.seed, rate=0.1, **settings)
        for part, label in (("train", "training"), ("held", "held out")):
            axes.plot(record[part], label=label)
        held, gap = record["held"][-1], record["train"][-1] - record["held"][-1]
        axes.set_title(f"{name}\nheld out {held:.1%}, gap {gap:.1%}", fontsize=9)
        axes.set(xlabel="epochs", ylim=(0, 1.02))
    panels[0].set_ylabel(f"accuracy, from {len(few.train[0])} images")
    panels[0].legend(fontsize=8)


LESSONS: dict[str, Callable[[Any, Points, Config], None]] = {
    "optimizers": optimizers,
    "activations": activations,
    "learning_rates": learning_rates,
    "first_losses": first_losses,
    "regularizers": regularizers,
}


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Draw the figures and print their files."""
    config = parse_flags(Config, argv, description=__doc__)
    points = runs.read_points(config.data)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    torch.set_num_threads(1)
    for name in config.lessons:
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        LESSONS[name](figure, points, config)
        file = config.out / f"{name}.png"
        with save_errors(file):
            config.out.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, dpi=90)
        print(file)


if __name__ == "__main__":
    main()

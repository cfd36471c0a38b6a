"""How long the dreams of a model of a world stay true: beside recorded play under the same actions.

    python -m rl_gen_lab.audit runs/dream_pixels__pong__0__20260101-120000

Dreams begin in held-out episodes of the training's folder (or of another folder of the same game) and get the actions
that were executed there. `rl_gen_lab.generators.world_models.audit` says what is compared, and with which controls. The
table is printed and kept as audit.json in the run folder, beside a film: what happened, the dream, the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import NotNegative, Ranged, Size
from rl_gen_lab.runs.files import save_errors, without_links, write_json

if TYPE_CHECKING:
    from rl_gen_lab.generators.world_models.recording import Recording
    from rl_gen_lab.training.load import Dream

SHOWN = ("1", "5", "10", "15", "30", "60")  # horizons of the printed table
FIGURE_COLUMNS = 6
MILLISECONDS = 100  # of a step in the film


@dataclass(frozen=True)
class Config(Ranged):
    """Compare dreams with what happened."""

    # Run folder of a model of a world.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder recorded with --transitions (None: the one of the training).
    data: Path | None = None
    # Split of the episodes.
    split: Literal["train", "val", "test"] = "test"
    # Dreams to compare.
    dreams: Size = 100
    # Steps of a dream.
    horizon: Annotated[int, Interval(ge=1, le=10_000)] = 60
    # Dreams side by side.
    batch: Size = 20
    # Run of a generator, whose reconstructions of the true frames stand in the figure, too.
    generator: Path | None = None
    # 1 draws what may happen as often as it is likely, 0 takes the likeliest.
    temperature: NotNegative = 1.0


def measure(config: Config, dream: Dream, recording: Recording) -> dict[str, Any]:
    """Run the audit. Raises: DataError."""
    from rl_gen_lab.data import dataset
    from rl_gen_lab.generators.palette import Palette
    from rl_gen_lab.generators.world_models.audit import Audit
    from rl_gen_lab.generators.world_models.reading import ObjectReader, labeled_frames

    images = dataset.load(recording.path)
    palette = Palette(dream.world.colors)
    frames = labeled_frames(images.splits["train"], palette)
    reader = ObjectReader(frames, len(palette), images.categories)
    audit = Audit(dream.model, reader, recording.splits[config.split])
    with ProgressDisplay("comparing", config.dreams, "dreams") as display:
        return audit.run(config.dreams, config.batch, config.temperature, lambda done: display.update(done, ""))


def table(result: dict[str, Any]) -> str:
    """Return the table that is printed."""
    lines = []
    for name, by_horizon in result["objects"].items():
        for horizon, objects in by_horizon.items():
            if horizon not in SHOWN:
                continue
            parts = [
                f"{category} {summary['median_px']:.1f} px, vanished {summary['vanished']:.0%}"
                for category, summary in objects.items()
                if "median_px" in summary
            ]
            writing = result["writing_right"].get(name, {}).get(horizon)
            said = "" if writing is None else f" · writing right {writing:.0%}"
            lines.append(f"{name:20} step {horizon:>2}: {' · '.join(parts)}{said}")
    for event in ("rewards", "ends"):
        told = result[event]
        if told["events"]:
            share = f"{told['told']:.0%} of {told['events']:.0f} told within 2 steps"
            lines.append(f"{event}: {share}, {told['false_per_1000']:.2f} false ones in 1,000 steps")
    return "\n".join([*lines, f"usable horizon: {result['usable_horizon']} steps"])


def write_figure(config: Config, dream: Dream, recording: Recording, file: Path) -> None:
    """Write frames of a dream below what happened, and below what a generator keeps of it. Raises: CheckpointError."""
    import torch

    from rl_gen_lab.generators.pictures import draw_grid
    from rl_gen_lab.generators.world_models import audit
    from rl_gen_lab.generators.world_models.interfaces import painted
    from rl_gen_lab.training.load import load_task

    split = recording.splits[config.split]
    part = split.windows(split.evenly_spaced(3)[-2:-1])
    steps = audit.dream(dream.model, part, part.executed, config.temperature, 0)
    chosen = sorted({max(round(len(steps) * share / FIGURE_COLUMNS), 1) for share in range(1, FIGURE_COLUMNS + 1)})
    places = [split.context - 1 + audit.TRUE_STEPS + step for step in chosen]
    real = painted(part.frames[0, places], dream.world.colors)
    after = ", ".join(map(str, chosen))
    rows, labels = [list(real)], [f"the game, {after} steps after the last frame that the dream has seen"]
    if config.generator is not None:
        rows.append(list(load_task(config.generator, "generate").predict(real.contiguous())))
        labels.append("reconstructed from its code")
    rows.append(list(painted(torch.cat([steps[step - 1].frames for step in chosen]), dream.world.colors)))
    labels.append("dreamed, under the same actions")
    with save_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        draw_grid(rows, labels).save(file)


def write_film(config: Config, dream: Dream, recording: Recording, file: Path) -> None:
    """Write one dream beside what happened, and the pixels that differ, as an animated picture."""
    from PIL import Image

    from rl_gen_lab.generators.pictures import differences, draw_grid
    from rl_gen_lab.generators.world_models import audit
    from rl_gen_lab.generators.world_models.interfaces import painted

    split = recording.splits[config.split]
    part = split.windows(split.evenly_spaced(3)[-2:-1])
    steps = audit.dream(dream.model, part, part.executed, config.temperature, 0)
    frames: list[Image.Image] = []
    for number, step in enumerate(steps):
        real = painted(part.frames[:, split.context + audit.TRUE_STEPS + number], dream.world.colors)
        shown = painted(step.frames, dream.world.colors)
        rows = [[real[0], shown[0], differences(real, shown)[0]]]
        frames.append(draw_grid(rows, [f"what happened · the dream after {number + 1} steps · pixels that differ"]))
    with save_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0)


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Print the table and keep it."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.generators.world_models import audit, recording
    from rl_gen_lab.training.load import folder_of, load_dream

    dream = load_dream(config.run)
    with folder_of(config.run) as run:
        saved = run.read_config("config")["config"]
        folder = config.data or Path(saved["data"])
        data = recording.load(folder, dream.context, audit.TRUE_STEPS + config.horizon, dream.world)
        data.refuse_short(config.split)
        result = measure(config, dream, data)
        print(table(result))
        write_json(run.path / "audit.json", result | {"data": str(folder), "split": config.split})
        pictures = without_links(run.path / "pictures")
        write_film(config, dream, data, pictures / "audit.gif")
        write_figure(config, dream, data, pictures / "audit.png")
        print(run.shown(run.path / "pictures" / "audit.png"))
        print(f"{run.shown(run.path / 'audit.json')}\n{run.shown(run.path / 'pictures' / 'audit.gif')}")


if __name__ == "__main__":
    main()

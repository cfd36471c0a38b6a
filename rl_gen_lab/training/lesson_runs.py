"""The runs that the figures of `rl_gen_lab.lessons` show: descents in a ravine, and small fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.features import Pixels, in_chunks
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data import dataset

OPTIMIZERS: dict[str, Callable[[Sequence[Tensor], float], torch.optim.Optimizer]] = {
    "SGD": lambda weights, rate: torch.optim.SGD(weights, rate),
    "momentum": lambda weights, rate: torch.optim.SGD(weights, rate, 0.9),
    "Nesterov": lambda weights, rate: torch.optim.SGD(weights, rate, 0.9, nesterov=True),
    "AdaGrad": lambda weights, rate: torch.optim.Adagrad(weights, rate),
    "RMSProp": lambda weights, rate: torch.optim.RMSprop(weights, rate),
    "Adam": lambda weights, rate: torch.optim.Adam(weights, rate),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "leaky ReLU": lambda: nn.LeakyReLU(0.1),
    "ELU": nn.ELU,
}
RAVINE, TURN, START, STEPS = (1.0, 40.0), 0.4, (-3.5, -0.6), 60  # curvatures, angle, first point, updates
RATES = [10 ** (k / 4) for k in range(-16, 5)]  # that every update rule is tried with
BATCH, HIDDEN, SIDE = 64, 100, 28


@dataclass(frozen=True)
class Points:
    """Gray levels (N, D) in [0, 1] and classes (N,) of the training and of the held-out images; K classes."""

    train: tuple[Tensor, Tensor]
    held: tuple[Tensor, Tensor]
    classes: int

    def shifted(self, shift: Tensor) -> Points:
        """Add the same to all points."""
        return Points((self.train[0] + shift, self.train[1]), (self.held[0] + shift, self.held[1]), self.classes)

    def first(self, count: int) -> Points:
        """Learn from the first points only."""
        return Points((self.train[0][:count], self.train[1][:count]), self.held, self.classes)


def read_points(path: Path) -> Points:
    """Read images as points. Raises: DataError; ConfigError for images that do not show one category each."""
    data = dataset.load(path)
    pixels = Pixels(ClassicConfig(features="pixels", side=SIDE), *data.shape[1:])
    parts = {}
    for name, split in data.splits.items():
        if any(len(label.objects) != 1 for label in split.labels):
            raise ConfigError(f"{path}: the lessons need images that show one category each, such as package:digits")
        classes = torch.tensor([label.objects[0].category for label in split.labels])
        parts[name] = (in_chunks(pixels, split.images), classes)
    held = [torch.cat(both) for both in zip(parts["val"], parts["test"], strict=True)]
    return Points(parts["train"], (held[0], held[1]), len(data.categories))


def height(points: Tensor) -> Tensor:
    """Height of the ravine (u^2 + 40 v^2) / 2 at points (..., 2); u and v lie across the axes.

    Along the axes it would be easy for rules that give each weight its own rate.
    """
    cos, sin = math.cos(TURN), math.sin(TURN)
    u, v = cos * points[..., 0] + sin * points[..., 1], cos * points[..., 1] - sin * points[..., 0]
    return (RAVINE[0] * u.square() + RAVINE[1] * v.square()) / 2


def descend(name: str, rate: float) -> Tensor:
    """Follow an update rule down the ravine. -> (STEPS + 1, 2)."""
    point = torch.tensor(START, requires_grad=True)
    optimizer, path = OPTIMIZERS[name]([point], rate), [point.detach().clone()]
    for _ in range(STEPS):
        optimizer.zero_grad()
        height(point).backward()
        optimizer.step()
        path.append(point.detach().clone())
    return torch.stack(path)


def best_descent(name: str) -> tuple[float, Tensor]:
    """Return the learning rate of `RATES` whose path is lowest on average, and this path."""
    paths = {rate: descend(name, rate) for rate in RATES}
    means = {rate: float(height(path).mean().nan_to_num(math.inf)) for rate, path in paths.items()}
    rate = min(means, key=lambda key: means[key])
    return rate, paths[rate]


def make_network(
    points: Points, seed: int, activation: str = "ReLU", layers: int = 1, dropout: float = 0.0
) -> nn.Sequential:
    """Make fully connected layers; their first weights are Glorot's, the same for every activation."""
    torch.manual_seed(seed)
    width = points.train[0].shape[1]
    parts: list[nn.Module] = []
    for _ in range(layers):
        layer = nn.Linear(width, HIDDEN)
        nn.init.xavier_normal_(layer.weight)
        parts += [layer, ACTIVATIONS[activation](), nn.Dropout(dropout)]
        width = HIDDEN
    return nn.Sequential(*parts, nn.Linear(width, points.classes))


def train_network(
    network: nn.Module,
    points: Points,
    epochs: int,
    seed: int,
    *,
    rate: float,
    decay: float = 0.0,
    smoothing: float = 0.0,
    noise: float = 0.0,
    schedule: Callable[[float], float] = lambda progress: 1.0,
) -> dict[str, list[float]]:
    """Train by SGD; return the loss of each epoch's batches [nats] and the accuracies on both parts after it.

    schedule: factor of the learning rate by the share of the training that is done; noise: standard deviation of what
    is added to the inputs. Returns: "loss", "train" and "held", a number for each epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), rate, weight_decay=decay)
    inputs, classes = points.train
    record: dict[str, list[float]] = {"loss": [], "train": [], "held": []}
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate * schedule(epoch / epochs)
        network.train()
        losses = []
        for batch in torch.randperm(len(inputs), generator=generator).split(BATCH):
            given = inputs[batch] + noise * torch.randn(len(batch), inputs.shape[1], generator=generator)
            loss = F.cross_entropy(network(given), classes[batch], label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        record["loss"].append(sum(losses) / len(losses))
        network.eval()
        with torch.no_grad():
            for name, (given, truth) in (("train", points.train), ("held", points.held)):
                record[name].append(float((network(given).argmax(1) == truth).float().mean()))
    return record


def spreads(network: nn.Sequential, inputs: Tensor) -> list[float]:
    """Return how much the units of each hidden layer vary over the inputs: the mean of their standard deviations."""
    found, values = [], inputs
    with torch.no_grad():
        for part in list(network)[:-1]:
            values = part(values)
            if isinstance(part, nn.Dropout):
                found.append(float(values.std(0).mean()))
    return found

"""Recipes on a task of a few weights: to imitate a fixed network on random frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agents.rl.q_networks import QNetwork
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.pipeline import Pipeline
from rl_gen_lab.compression.recipe import Recipe, parse
from rl_gen_lab.runs.folder import RunFolder

SHAPE, ACTIONS, OWN = (1, 9, 9), 3, "8x3s2-12"
Stage = dict[str, Any]
NEW = {"kind": "learn", "backbone": "6x3s2-8", "updates": 12}
PRUNE = {"kind": "prune", "kept": 0.4, "updates": 11}
RECIPES: dict[str, list[Stage]] = {
    "new": [NEW, PRUNE, {"kind": "quantize", "bits": 3, "updates": 7}],
    "factors": [
        {"kind": "low_rank", "energy": 0.6, "updates": 6},
        PRUNE,
        {"kind": "share", "fisher": True, "updates": 8},
    ],
    "channels": [
        {"kind": "channels", "share": 0.4, "updates": 6},
        {"kind": "low_rank", "energy": 0.6, "layers": ["fc"]},
        {"kind": "prune", "kept": 0.7, "updates": 6},
        {"kind": "prune", "kept": 0.3, "updates": 9},
        {"kind": "ternary", "updates": 6, "layers": ["advantage"]},
        {"kind": "learn", "updates": 6},
        {"kind": "quantize", "layers": ["conv.0"]},
    ],
    "binary": [{"kind": "learn", "updates": 6}, {"kind": "binary", "updates": 6}],
    "alone": [
        {"kind": "binary", "updates": 6},
        {"kind": "channels", "share": 0.4, "updates": 6},
        {"kind": "low_rank", "energy": 0.6, "updates": 4},
        {"kind": "ternary"},
        PRUNE,
    ],
}


class Killed(BaseException):
    """The process ends."""


class Imitation:
    """Learn the outputs of a fixed network on random frames; the process ends after so many batches."""

    def __init__(self, survives: float = math.inf) -> None:
        torch.manual_seed(1)
        self.teacher = QNetwork(OWN, SHAPE, ACTIONS, False).requires_grad_(False)
        self.generator, self.left = torch.Generator(), survives
        self.began: list[tuple[int, float]] = []
        self.spoil: Callable[[Tensor], Tensor] = lambda loss: loss

    def build(self, backbone: str | None) -> nn.Module:
        torch.manual_seed(2)
        network = QNetwork(backbone or OWN, SHAPE, ACTIONS, False)
        if backbone is None:
            network.load_state_dict(self.teacher.state_dict())
        return network

    def header(self, backbone: str | None) -> tuple[dict[str, Any], bool]:
        return {"network": {"backbone": backbone or OWN, "shape": list(SHAPE), "actions": ACTIONS}}, False

    def begin(self, network: nn.Module, segment: int, progress: float) -> None:
        self.generator.manual_seed(segment)
        self.began.append((segment, progress))

    def example(self) -> Tensor:
        return torch.randint(256, (16, *SHAPE), dtype=torch.uint8, generator=self.generator)

    def loss(self, network: nn.Module, progress: float) -> Tensor:
        if self.left <= 0:
            raise Killed
        self.left -= 1
        frames = self.example()
        return self.spoil((network(frames) - 4 * self.teacher(frames)).square().mean())

    def score(self, data: bytes) -> Row:
        return {"score": len(data)}

    def in_words(self, row: Row) -> str:
        return f"score {row['score']}"


def recipe(*stages: Stage) -> Recipe:
    return parse({"stages": [dict(stage) for stage in stages]}, "test")


def named(name: str) -> Recipe:
    return parse({"alone": name == "alone", "stages": [dict(stage) for stage in RECIPES[name]]}, "test")


def pipeline(folder: Path, what: Recipe, task: Imitation | None = None) -> Pipeline:
    folder.mkdir(parents=True, exist_ok=True)
    return Pipeline(what, task or Imitation(), RunFolder(folder), lambda metrics, update: None)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.rlz")}


def without_time(rows: list[Row]) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "minutes"} for row in rows]

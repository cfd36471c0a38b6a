"""What the processes of one `torchrun` do in the tests of data parallel training. Arguments: data, runs folder."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.distributed.group import Group, joined
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.training.run import train
from rl_gen_lab.vision.recognition.config import ClassifyConfig

CHOICES = BackboneConfig(width=4, stages=2, depth=1, norm="group", dropout=0.0)


def settings(data: Path, runs: Path, **changes: Any) -> Config:
    """Return settings whose loss is a mean over images, so that one process and several learn the same."""
    return Config(
        task="classify",
        data=data,
        epochs=2,
        runs_dir=runs,
        batch_size=6,  # of 16 images: the last batch of an epoch has four
        log_every_updates=1,
        classify=ClassifyConfig(choices=CHOICES),
        optimizer=OptimizerConfig("sgd", 0.02),
        wandb=WandbConfig("disabled"),
        rank_timeout_seconds=120,
        **changes,
    )


def interrupted(config: Config, after: int | None) -> None:
    """Train until this process is asked to stop after so many updates (None: another one is)."""
    real = Loop._update

    def update(loop: Loop, indices: torch.Tensor) -> None:
        real(loop, indices)
        loop._interrupt.asked = loop.updates == after

    Loop._update = update  # type: ignore[method-assign]
    try:
        train(config)
    except SystemExit as stop:
        assert stop.code == EXIT_INTERRUPTED, stop
    else:
        raise AssertionError("nobody stopped it")
    finally:
        Loop._update = real  # type: ignore[method-assign]


def check_exchanges(group: Group) -> dict[str, Any]:
    """Exchange numbers whose results are known, and return them."""
    rank = float(group.ranks.rank)
    values = [torch.full((2, 3), rank), torch.tensor(10 * rank)]
    group.mean_(values)
    learned, idle = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    (learned * (rank + 1)).sum().backward()
    group.mean_gradients_([learned, idle])
    copied = torch.full((2,), rank + 5)
    group.copy_([copied])
    of_last = torch.full((2,), rank + 5)
    group.copy_([of_last], 1)
    group.refuse_different("data", "the same")
    try:
        group.refuse_different("data", f"of {group.ranks.rank}")
        refused = ""
    except ConfigError as error:
        refused = str(error)
    return {
        "mean": [values[0].tolist(), values[1].item()],
        "gradients": [learned.grad.tolist(), idle.grad.tolist()],  # type: ignore[union-attr]
        "copied": copied.tolist(),
        "of_last": of_last.tolist(),
        "objects": [float(value["rank"]) for value in group.objects({"rank": torch.tensor(rank)})],
        "largest": group.largest(rank, -rank),
        "nan": group.largest(float("nan") if group.ranks.rank else 0.0),
        "any": [group.any(group.ranks.rank == 1), group.any(False)],
        "gathered": [found.tolist() for found in group.gather(torch.tensor([rank]))],
        "means": {name: float(value) for name, value in group.means({"a": torch.tensor(rank)}).items()},
        "total": group.total(rank + 1),
        "text": group.text(f"of {rank}"),
        "texts": group.texts(f"of {rank}"),
        "named": group.named("speed", rank),
        "refused": refused,
    }


def check_uneven(ranks: Ranks) -> bool:
    """Return whether a process alone and several agree on what is exchanged by one."""
    return Group().largest(3.0) == [3.0] and Group(Ranks()).named("x", 1.0) == {} and ranks.size > 1


def main() -> None:
    """Run all checks; write what they return to <runs>/rank<N>.json."""
    data, runs = Path(sys.argv[1]), Path(sys.argv[2])
    ranks = Ranks.of()
    with joined(ranks, 120) as group:  # once: a second connection of the same processes fails
        found: dict[str, Any] = {"exchanges": check_exchanges(group), "alone": check_uneven(ranks)}
        for name, changes in {"replicas": {}, "shards": {"fsdp": True}}.items():
            found[name] = train(settings(data, runs / name, **changes)).get("status")
        one = next((runs / "one").iterdir())
        found["resumed"] = train(settings(data, runs / "one", resume=one)).get("status")
        for name, changes in {"two": {}, "two_shards": {"fsdp": True}}.items():
            interrupted(settings(data, runs / name, **changes), after=4 if ranks.rank else None)
    (runs / f"rank{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        raise

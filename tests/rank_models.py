"""What the processes of one `torchrun` do in the tests of tensor and pipeline parallel.

Arguments: tensor or pipeline, "all" or "more", data, the run of a generator, the folder of runs.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import generator_models
from rank_checks import interrupted
from torch.distributed.tensor import DTensor

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.distributed.group import joined
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.training.run import train
from rl_gen_lab.vision.captioning.config import CaptionConfig

SMALL = BackboneConfig(width=8, stages=2, depth=1, first_stride=4, norm="group")
# What is trained in which way. All losses are means over the images, words or steps of a batch.
WAYS = {"tensor": ("latent",), "pipeline": ("caption",)}
MORE = {"tensor": ("caption", "vae", "pixels"), "pipeline": ("vae",)}  # in a start of their own, for the long tests
RESUMED = {"tensor": "latent", "pipeline": "caption"}  # what is also stopped and resumed


def settings(name: str, data: Path, generator: Path, runs: Path, **changes: Any) -> Config:
    """Return settings of a network whose layers are large enough that two processes can share them."""
    optimizer = OptimizerConfig("sgd", 0.01, max_grad_norm=1.0)
    own: dict[str, Any] = {}
    if name == "caption":
        own = {"task": "caption", "caption": CaptionConfig(choices=SMALL, units=32, look_everywhere=0.1)}
    elif name == "vae":
        own = {"task": "generate", "generate": replace(generator_models.TINY, model="vae", latents=16)}
    elif name == "pixels":
        dream = DreamConfig(steps=4, width=4, memory=16, context=2, codes=2, code_values=4, plain_updates=0)
        own = {"task": "dream", "dream": dream}
    elif name == "latent":
        own = {"task": "dream", "dream": DreamConfig(model="latent", generator=generator, steps=4, memory=16)}
    return Config(
        data=data,
        epochs=2,
        runs_dir=runs,
        batch_size=6,
        log_every_updates=1,
        optimizer=optimizer,
        wandb=WandbConfig("disabled"),
        rank_timeout_seconds=120,
        **own | changes,
    )


def trained(config: Config) -> dict[str, Any]:
    """Train; return how it ended, how many weights this process has, and the sum of those that are not parted."""
    seen: list[Loop] = []
    real = Loop._finish

    def finish(loop: Loop) -> dict[str, Any]:
        seen.append(loop)
        return real(loop)

    Loop._finish = finish  # type: ignore[method-assign]
    try:
        result = train(config)
    finally:
        Loop._finish = real  # type: ignore[method-assign]
    weights = [weight for weight in seen[0].task.network.parameters() if not weight.is_meta]
    common = [weight for weight in weights if not isinstance(weight, DTensor)]
    parted = [weight for weight in weights if isinstance(weight, DTensor)]
    return {
        "status": result["status"],
        "common": sum(float(weight.detach().double().abs().sum()) for weight in common),
        "here": sum(weight.to_local().numel() for weight in parted) + sum(weight.numel() for weight in common),
    }


def refusal(way: str, data: Path, generator: Path, runs: Path) -> str:
    """Return what is said of a network that cannot be parted in that way; no run folder may be left of it."""
    config = settings("vae", data, generator, runs / "refused", parallel=way)
    if way == "tensor":
        config = replace(config, generate=replace(config.generate, model="vq-vae", levels=(3, 3)))
    else:
        config = replace(config, init_frozen=True, init_backbone=generator)
    try:
        train(config)
    except ConfigError as error:
        return str(error)
    return "nothing"


def main() -> None:
    """Train in one way; write what was found to <runs>/rank<N>.json."""
    way, what = sys.argv[1:3]
    data, generator, runs = map(Path, sys.argv[3:])
    ranks, network = Ranks.of(), RESUMED[way]
    found: dict[str, Any] = {}
    with joined(ranks, 120):
        for name in (MORE if what == "more" else WAYS)[way]:
            found[name] = trained(settings(name, data, generator, runs / name, parallel=way))

        def again(folder: str, **changes: Any) -> Config:
            return settings(network, data, generator, runs / folder, parallel=way, **changes)

        if what == "all":
            found["one"] = train(again("one", resume=next((runs / "one").iterdir())))["status"]
            interrupted(again("two"), after=4 if ranks.rank else None)
            interrupted(again("both"), after=2 if ranks.rank else None)
            found["both"] = train(again("both", resume=next((runs / "both").iterdir())))["status"]
            found["refused"] = refusal(way, data, generator, runs)
    (runs / f"rank{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        raise

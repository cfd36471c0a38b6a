"""Train a vision model on a folder of annotated images.

    python -m rl_gen_lab.train segment --data datasets/pong_5000_0
    python -m rl_gen_lab.train detect --data datasets/pong_5000_0 --detect.model faster-rcnn
    python -m rl_gen_lab.train classify --data datasets/pong_5000_0
    python -m rl_gen_lab.train localize --data datasets/pong_5000_0 --localize.object ball
    python -m rl_gen_lab.train caption --data datasets/pong_5000_0
    python -m rl_gen_lab.train segment --data datasets/pong_5000_0 --segment.model fcn --segment.upsampling unpool

`envs.scenes` writes such folders; any other in COCO's format works too (`rl_gen_lab.data.coco`). The run folder holds
the resolved configuration, all metrics, the best weights by the val split, and result.json with the metrics of the test
split, measured once, at the end. `--resume RUN` continues a stopped run, exactly as if it had never been stopped.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.flags import parse_flags, peek_flag, refuse_other_flags
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.cli.shell import typed_path
from rl_gen_lab.cli.unused import refuse_unused
from rl_gen_lab.distributed.ranks import Ranks, after_restart
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config, TaskName

AGAIN = ("--total-minutes", "--parallel")  # what may be said anew of a run that is resumed


def read_config(argv: list[str] | None) -> Config:
    """Read the configuration from a command line; with `--resume`, from the run folder. Raises: UserError."""
    argv = sys.argv[1:] if argv is None else argv
    argv = after_restart(argv, Ranks.of(), Path(peek_flag(argv, "runs-dir") or "runs"))
    resume = peek_flag(argv, "resume")
    if resume is None or {"-h", "--help"} & set(argv):
        typed = parse_flags(Config, argv, description=__doc__)
        refuse_unused(getattr(typed, typed.task), typed.task)
        return typed
    path = typed_path(resume)
    run = RunFolder.open(path)
    saved = run.read_config().get("config")
    if not isinstance(saved, dict) or saved.get("task") not in get_args(TaskName):
        raise CheckpointError(f"{path} is a run of {run.made_by()}, not of python -m rl_gen_lab.train")
    config = from_saved(Config, saved, str(run.config_file))
    refuse_other_flags([word for word in argv if word != config.task], ("--resume", *AGAIN))
    words = [word for flag in AGAIN if (value := peek_flag(argv, flag[2:])) is not None for word in (flag, value)]
    return parse_flags(Config, words, default=replace(config, resume=path))


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Train a vision model."""
    if Ranks.of().size > 1:  # before torch is there: DDP warns of a setting that only some of the models need
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    config = read_config(argv)
    from rl_gen_lab.training.run import train  # after the flags: --help and wrong flags need no torch

    train(config)


if __name__ == "__main__":
    main()

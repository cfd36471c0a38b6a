"""Tiny whole runs of every agent in the environments of `odd_envs`."""

from __future__ import annotations

import contextlib
import io
from importlib import import_module
from pathlib import Path

from rl_gen_lab.runs.folder import RunFolder

OURS = {
    "dqn": "--replay.capacity 500 --learning-starts-env-steps 8 --batch-size 4 --backbone mlp_small",
    "reinforce": "--backbone mlp_small --value-updates 1",
    "actor_critic": "--backbone mlp_small --rollout-steps 4",
    "ppo": "--backbone mlp_small --rollout-steps 8 --minibatch-size 8 --epochs 1",
}
SB3 = {
    "sb3 dqn": "--algo dqn --dqn.buffer-size 100 --dqn.learning-starts 8 --dqn.batch-size 4",
    "sb3 a2c": "--algo a2c",
    "sb3 ppo": "--algo ppo --ppo.n-steps 16 --ppo.batch-size 8 --ppo.n-epochs 1",
}
AGENTS = OURS | SB3
POLICIES = {name: flags for name, flags in AGENTS.items() if "dqn" not in name}
COMMON = (  # two evaluations in training, two at its end
    "--preset defaults --num-envs 2 --total-env-steps 48 --eval.episodes 2 --eval.final-episodes 2"
    " --eval.every-env-steps 24 --checkpoint-every-env-steps 24 --wandb.mode disabled --device cpu"
)


def run(agent: str, folder: Path, env: str, *flags: str) -> tuple[RunFolder, str]:
    """Train; return the run's folder and what was printed."""
    own, here = AGENTS[agent].split(), folder.absolute()  # the environment may change the working directory
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command = import_module(f"agents.{agent.split()[0]}")
        command.main(["--env", env, *COMMON.split(), *own, "--runs-dir", str(folder), *flags])
    (path,) = here.iterdir()
    return RunFolder.open(path), printed.getvalue()


def resume(agent: str, found: RunFolder, *flags: str) -> str:
    """Continue a run; return what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        import_module(f"agents.{agent.split()[0]}").main(["--resume", str(found), *flags])
    return printed.getvalue()


def play(found: RunFolder, *flags: str) -> str:
    """Play a run; return what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        import_module("agents.play").main([str(found), "--episodes", "2", "--film-steps", "6", *flags])
    return printed.getvalue()

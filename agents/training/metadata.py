"""What a run writes down about itself, and the checks before an old run is continued or looked at."""

from __future__ import annotations

import sys
import time
from typing import Any

from envs import names
from envs.factory import EnvConfig
from envs.fingerprint import Fingerprint, fingerprint
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder


def task_fingerprint(env: str, world: EnvConfig, eval_epsilon: float) -> Fingerprint:
    """The task as it is scored: the world, and how an evaluation acts in it."""
    return fingerprint(names.resolve(env), world, eval_epsilon=eval_epsilon)


def describe(algo: str, env_id: str, config: Any, task: Fingerprint) -> dict[str, Any]:
    """config.json: the resolved configuration and everything else that is needed to judge or repeat the run."""
    return {
        "config": to_dict(config),
        "env_id": env_id,
        "exp_name": algo,
        "seed": config.seed,
        "fingerprint": {"text": task.text, "hash": task.hash, "fields": task.fields},
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "commit": provenance.git_commit(),
        "command": [f"python -m agents.{module_of(algo)}", *sys.argv[1:]],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def module_of(algo: str) -> str:
    """The command behind an algorithm's name: `sb3_dqn` -> `sb3`."""
    return algo.partition("_")[0] if algo.startswith("sb3_") else algo


def resume_command(algo: str, run: RunFolder, *flags: str) -> str:
    """The command that continues a run, to be copied into a shell; flags: what it is to be told besides."""
    return shell(python(), "-m", f"agents.{module_of(algo)}", "--resume", run.path, *flags)


def load_checkpoint(run: RunFolder, algo: str, task: Fingerprint) -> dict[str, Any]:
    """The last checkpoint of a run, if it is of this algorithm and task.

    Raises: CheckpointError, also for a damaged one; nothing on disk is changed.
    """
    written_by = run.read_config().get("exp_name")
    if written_by != algo:
        raise CheckpointError(f"{run.path} is a run of {written_by!r}, not of {algo!r}")
    state = load_state(run.checkpoints / "latest")
    saved = state["fingerprint"]
    if saved["hash"] != task.hash:
        differences = [
            f"{key}: {saved['fields'].get(key)} there, {task.fields.get(key)} here"
            for key in sorted(saved["fields"] | task.fields)
            if saved["fields"].get(key) != task.fields.get(key)
        ]
        raise CheckpointError(f"{run.path} was trained on another task ({'; '.join(differences)})")
    return state

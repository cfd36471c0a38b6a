"""What a run is, resolved once from its settings, and what it writes down about itself."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from agents.training.config import AgentConfig
from envs import names
from envs.factory import EnvConfig
from envs.fingerprint import Fingerprint, fingerprint
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class RunSpec:
    """A run, resolved from its settings: nobody need look up names or the task again.

    algo: name of the algorithm, e.g. "dqn" or "sb3_dqn"; env_id: full Gymnasium id; short_name: e.g. "Pong"; task: the
    fingerprint of what is scored.
    """

    algo: str
    env_id: str
    short_name: str
    task: Fingerprint
    config: AgentConfig

    @classmethod
    def resolve(cls, algo: str, config: AgentConfig) -> RunSpec:
        """Resolve the settings of a run. Raises: UnknownEnvError."""
        env_id = names.resolve(config.env)
        task = task_fingerprint(config.env, config.world, config.eval.epsilon)
        return cls(algo, env_id, names.short_name(env_id), task, config)

    def describe(self) -> dict[str, Any]:
        """Return config.json: the resolved settings and everything else that is needed to judge or repeat the run."""
        return {
            "config": to_dict(self.config),
            "env_id": self.env_id,
            "exp_name": self.algo,
            "seed": self.config.seed,
            "fingerprint": {"text": self.task.text, "hash": self.task.hash, "fields": self.task.fields},
            "versions": provenance.versions(),
            "hardware": provenance.hardware(),
            "commit": provenance.git_commit(),
            "command": [f"python -m agents.{module_of(self.algo)}", *sys.argv[1:]],
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def task_fingerprint(env: str, world: EnvConfig, eval_epsilon: float) -> Fingerprint:
    """Return the task as it is scored: the environment, and how an evaluation acts in it."""
    return fingerprint(names.resolve(env), world, eval_epsilon=eval_epsilon)


def module_of(algo: str) -> str:
    """Return the command behind an algorithm's name: `sb3_dqn` -> `sb3`."""
    return algo.partition("_")[0] if algo.startswith("sb3_") else algo


def resume_command(algo: str, run: RunFolder, *flags: str) -> str:
    """Return the shell command that continues a run, with further flags."""
    return shell(python(), "-m", f"agents.{module_of(algo)}", "--resume", run.path, *flags)

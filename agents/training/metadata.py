"""Resolved specification and metadata of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.training.config import AgentConfig
from agents.training.environments import task_fingerprint
from agents.training.resume import module_of
from envs import names
from envs.fingerprint import Fingerprint
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.runs import provenance


@dataclass(frozen=True)
class RunSpec:
    """A run resolved from its settings: its names and its task.

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
        task = task_fingerprint(env_id, config.world, config.eval.epsilon, config.eval.stochastic)
        return cls(algo, env_id, names.short_name(env_id), task, config)

    def describe(self) -> dict[str, Any]:
        """Return config.json: the resolved settings and everything else that is needed to judge or repeat the run."""
        return {
            "config": to_dict(self.config),
            "env_id": self.env_id,
            "exp_name": self.algo,
            "seed": self.config.seed,
            "fingerprint": {"text": self.task.text, "hash": self.task.hash, "fields": self.task.fields},
            **provenance.of_run(f"agents.{module_of(self.algo)}"),
        }

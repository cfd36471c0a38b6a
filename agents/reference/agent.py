"""An algorithm of Stable-Baselines3 as an agent of ours: it trains within a run, and a checkpoint holds it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from agents.reference.gradient_norms import GradientNorms
from agents.reference.learner_env import LearnerEnv
from agents.reference.models import SB3Policy, make_model
from agents.reference.settings import Config, refuse_impossible, translate
from agents.reference.vec_env import LearnerVecEnv
from agents.rl.interfaces import Episode, TrainingRun
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.fitting import refuse_odd_optimizer
from rl_gen_lab.runs.reading import WHOLE, misfit
from rl_gen_lab.runs.weights import load_network


class Reference:
    """An algorithm of SB3 with its environments, its network and what a checkpoint holds of it."""

    def __init__(self, config: Config, device: torch.device) -> None:
        """Raises: ConfigError for what SB3 cannot do."""
        self.config = config
        self.learner_env = LearnerEnv(config.env, config.num_envs, config.world)
        refuse_impossible(config, self.learner_env.observation_space, self.learner_env.action_space)
        env = LearnerVecEnv(self.learner_env)
        self.normalizer = VecNormalize(env, gamma=config.settings.gamma) if config.normalize else None
        self.model = make_model(config, self.normalizer or env, device)
        network = self.model.q_net if isinstance(self.model, DQN) else self.model.policy
        self.network = SB3Policy(network, self.normalizer, self.export)
        self.gradient_norms = GradientNorms()

    @property
    def updates(self) -> int:
        """Gradient steps so far, also for PPO, which itself counts epochs."""
        done, ppo = self.model._n_updates, self.config.ppo
        if self.config.algo == "ppo":
            done *= math.ceil(ppo.n_steps * self.config.num_envs / ppo.batch_size)
        return done

    def learn(self, run: TrainingRun) -> None:
        """Train until the run is over."""
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        done = self.model.num_timesteps
        steps = max(self.config.total_env_steps - done, 0)
        reporter = Reporter(self, run)
        # No log interval: at each dump SB3 would clear what the reporter reads.
        with self.gradient_norms.recorded():
            self.model.learn(steps, reporter, log_interval=None, reset_num_timesteps=done == 0)  # type: ignore[arg-type]

    def export(self, file: Path) -> None:
        """Write `<file>.zip`, which SB3's `load` reads, and `<file>_vecnormalize.pkl` if inputs are standardized.

        Raises: SaveError.
        """
        replace_file(file.with_suffix(".zip"), lambda new: _save(self.model, new))
        if (normalizer := self.normalizer) is not None:
            replace_file(file.with_name(f"{file.name}_vecnormalize.pkl"), lambda new: normalizer.save(str(new)))

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimizer, counters and running statistics; no replay memory."""
        statistics: dict[str, Any] = {}
        if self.normalizer is not None:
            both = {"obs": self.normalizer.obs_rms, "returns": self.normalizer.ret_rms}
            statistics = {name: {k: np.asarray(v) for k, v in vars(rms).items()} for name, rms in both.items()}
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "num_timesteps": self.model.num_timesteps,
            "n_updates": self.model._n_updates,
            "statistics": statistics,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, in new games; DQN first fills a new replay memory."""
        if wrong := misfit(state, dict.fromkeys(("num_timesteps", "n_updates"), WHOLE)):
            raise ValueError(wrong)
        refuse_odd_optimizer(state["optimizer"], self.model.policy.optimizer, state["n_updates"])
        load_network(self.model.policy, state["policy"], "the checkpoint")
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self.model.num_timesteps, self.model._n_updates = int(state["num_timesteps"]), int(state["n_updates"])
        if isinstance(self.model, DQN):
            self.model.learning_starts += self.model.num_timesteps
        if self.normalizer is not None:
            for own, name in ((self.normalizer.obs_rms, "obs"), (self.normalizer.ret_rms, "returns")):
                vars(own).update({key: state["statistics"][name][key] for key in vars(own)})
        self.network.take_statistics()

    def close(self) -> None:
        """Free the environments."""
        self.learner_env.close()


def _save(model: DQN | A2C | PPO, file: Path) -> None:
    with file.open("wb") as opened:  # for a path without its suffix SB3 would add one
        model.save(opened)


class Reporter(BaseCallback):
    """Tells the run what SB3 does, and SB3 when to stop."""

    def __init__(self, reference: Reference, run: TrainingRun) -> None:
        super().__init__()
        self.reference, self.run = reference, run
        self._translated: dict[str, float] | None = None
        self._metrics: tuple[dict[str, float], dict[str, float]] = ({}, {})

    def _on_step(self) -> bool:
        self._report(self.reference.learner_env.episodes)
        if self.run.checkpoint_due():
            self.run.save()
        # The rollout under way when the steps are spent is finished and learned from, as in SB3.
        return self.run.running() or self.num_timesteps >= self.reference.config.total_env_steps

    def _on_training_end(self) -> None:
        self._report([])  # the last updates came after the last step

    def _report(self, episodes: list[Episode]) -> None:
        reference, logged = self.reference, self.logger.name_to_value
        if reference.normalizer is not None:
            reference.network.take_statistics()
        learned = reference.gradient_norms.learned
        if learned or logged != self._translated:  # most steps come between two updates
            self._translated = dict(logged)
            losses, status = translate(reference.config.algo, logged)
            norm = reference.gradient_norms.latest()
            self._metrics = (losses if norm is None else losses | {"losses/grad_norm": norm}), status
        self.run.record(self.num_timesteps, reference.updates, episodes, *self._metrics)

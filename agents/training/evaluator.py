"""Evaluation schedule and evaluation episodes, the final ones and the video included."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.rl.interfaces import Policy
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from agents.training.evaluate import Evaluation, evaluate, long_episode
from agents.training.metadata import RunSpec
from agents.training.video import in_words, play_episode, write_mp4
from envs import names
from envs.registration import UnusableEnvError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.compute.seeding import Generators

RECENT = 20  # training episodes in the return shown; half as many suggest that the target may be reached
COUNTERS = ("evaluations", "next_eval", "next_eager_eval", "last_eval")


class StopAsked(Exception):
    """Somebody asked to stop during an evaluation."""


class Evaluator:
    """Plays the agent of a run without learning, with randomness derived from the run's seed and counters alone."""

    def __init__(self, spec: RunSpec, display: ProgressDisplay, stop_asked: Callable[[], bool]) -> None:
        """stop_asked: called before every step. Raises: ConfigError for an impossible seed."""
        self.env_id, self.config, self.display, self.stop_asked = spec.env_id, spec.config, display, stop_asked
        self.seeds = Generators(spec.config.seed)
        self.alone = False  # whether the environment of training is the only one there can be
        self.every = spec.config.eval.every_env_steps or sys.maxsize
        self.evaluations, self.next_eval, self.next_eager_eval, self.last_eval = 0, self.every, 0, -1

    def check_second_copy(self) -> str | None:
        """Check, before training begins, that a second copy of the environment can be used, for evaluations.

        Without one (a port, a lock) the agent is evaluated at the end of training, whose environment is closed then.
        Returns what to say of it, or None.
        """
        if names.is_atari(self.env_id):
            return None  # emulators need no more than memory
        try:
            VectorEnvRunner(self.env_id, 1, self.config.world, self.seeds).close()  # reset once
        except (UnusableEnvError, EnvStepError) as error:
            self.alone = True
            return f"note: there is no second copy for evaluations, so the agent is evaluated after training: {error}"
        return None

    def due(self, env_steps: int, recent: Sequence[float]) -> bool:
        """Return whether to evaluate now: by steps, or earlier if recent returns suggest that the target is reached."""
        if self.alone:
            return False
        return env_steps >= self.next_eval or self._looks_solved(env_steps, recent)

    def _looks_solved(self, env_steps: int, recent: Sequence[float]) -> bool:
        target = self.config.run.stop_at_return
        if target is None or len(recent) < RECENT // 2 or env_steps < self.next_eager_eval:
            return False
        return float(np.mean(recent[-RECENT // 2 :])) >= target

    def evaluate(self, policy: Policy, env_steps: int) -> tuple[Evaluation, np.ndarray]:
        """Run the next evaluation; return it with the scores of actions (n, A). Raises: StopAsked; repeat it then."""
        seed = self.seeds.integer("evaluation", self.evaluations + 1)
        played = self._play(policy, self.config.eval.episodes, seed, "evaluating", env_steps)
        self.evaluations += 1
        self.next_eval, self.next_eager_eval = env_steps + self.every, env_steps + self.every // 4
        self.last_eval = env_steps
        return played

    def final(self, policy: Policy, env_steps: int) -> Evaluation:
        """Run the evaluation that the run is scored by, on fresh episodes. Raises: StopAsked."""
        seed = self.seeds.integer("final_evaluation")
        return self._play(policy, self.config.eval.final_episodes, seed, "final evaluation", env_steps)[0]

    def record_video(self, policy: Policy, path: Path, env_steps: int) -> str:
        """Record the first final evaluation episode; return a caption. Raises: what the environment raises."""

        def show(done: int) -> None:
            self.display.pause(env_steps, f"recording the video: {done:,} steps")

        c, seed = self.config, self.seeds.integer("final_evaluation")
        film = play_episode(self.env_id, c.world, policy, seed, epsilon=c.eval.epsilon, on_step=show)
        write_mp4(path, film.frames)
        return in_words(film)

    def _play(
        self, policy: Policy, episodes: int, seed: int, word: str, env_steps: int
    ) -> tuple[Evaluation, np.ndarray]:
        c = self.config
        scores: list[np.ndarray] = []

        def act(obs: np.ndarray) -> np.ndarray:
            if self.stop_asked():
                raise StopAsked
            actions, values = policy.decide(obs)
            if values is not None:
                scores.append(values)
            return actions

        def show(done: int, steps: int) -> None:
            status = (f"{word}: {done} of {episodes} episodes", long_episode(self.env_id, c.world, steps))
            self.display.pause(env_steps, ", ".join(filter(None, status)))

        if policy.seed is not None:
            policy.seed(seed)
        result = evaluate(
            self.env_id,
            c.world,
            act,
            episodes,
            seed,
            epsilon=c.eval.epsilon,
            threads=os.cpu_count() or 1,
            on_step=show,
            begin=policy.begin,
        )
        if c.eval.stochastic:
            result.protocol["stochastic"] = True
        return result, np.concatenate(scores) if scores else np.zeros((0, 1))

    def state_dict(self) -> dict[str, Any]:
        """Return the counters."""
        return {name: getattr(self, name) for name in COUNTERS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name in COUNTERS:
            setattr(self, name, int(state[name]))

"""Scoring a policy: whole episodes in environments and with seeds of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.rl.interfaces import Episode
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from envs.config import EnvConfig
from envs.factory import episode_limit, is_capped
from envs.registration import UnusableEnvError
from rl_gen_lab.compute.seeding import Generators

Act = Callable[[np.ndarray], np.ndarray]
MAX_EVALUATION_ENVS = 20
LONG_EPISODE = 2_000  # agent steps after which the length of an episode is shown


@dataclass(frozen=True)
class Evaluation:
    """Unclipped returns and lengths (agent steps) of whole episodes, with the rules they were played by."""

    returns: list[float]
    lengths: list[int]
    protocol: dict[str, Any]

    def summary(self) -> dict[str, float]:
        """Return metrics under the names that every agent logs."""
        returns = np.asarray(self.returns)
        return {
            "eval/return_mean": float(returns.mean()),
            "eval/return_std": float(returns.std()),
            "eval/return_min": float(returns.min()),
            "eval/return_max": float(returns.max()),
            "eval/length_mean": float(np.mean(self.lengths)),
            "eval/episodes": len(returns),
        }

    def rows(self) -> list[tuple[Any, ...]]:
        """Return a row for each episode: seed of the evaluation, number within it, return, length."""
        played = zip(self.returns, self.lengths, strict=True)
        return [(self.protocol.get("seed"), number, *episode) for number, episode in enumerate(played, 1)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for result.json."""
        ordered = np.sort(self.returns)
        cut = len(ordered) // 4
        return {
            "return_mean": float(ordered.mean()),
            "return_std": float(ordered.std()),
            "return_iqm": float(ordered[cut : len(ordered) - cut].mean()),
            "returns": self.returns,
            "lengths": self.lengths,
            "protocol": self.protocol,
        }


def evaluate(
    env_id: str,
    world: EnvConfig,
    act: Act,
    episodes: int,
    seed: int,
    *,
    epsilon: float = 0.0,
    threads: int = 1,
    on_episode: Callable[[int], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    begin: Callable[[np.ndarray], None] | None = None,
) -> Evaluation:
    """Play whole episodes in fresh environments with their own seeds; the training run is not touched.

    Every copy plays the same number of episodes (rounded up), so that short episodes are not over-represented.
    act: observations (N, ...) -> actions (N, ...). epsilon: probability of a uniformly random action, drawn for each
    copy and step. on_episode(n): called when n episodes are done. on_step(n, steps): called after each vector step with
    the episodes that are done and the length so far of the longest that is not. begin(first): called before each `act`
    with (N,) bool, true where an episode begins, for policies with a memory.
    An environment of which several copies cannot be made (a port, a lock) plays all episodes in one.
    Raises: EnvStepError, UnusableEnvError.
    """
    generators = Generators(seed)
    runner = _make_runner(env_id, min(episodes, MAX_EVALUATION_ENVS), world, generators, threads)
    copies = runner.num_envs
    per_copy = -(-episodes // copies)
    rng = generators.numpy("evaluation")
    finished: list[list[Episode]] = [[] for _ in range(copies)]
    done = 0
    try:
        runner.action_space.seed(generators.integer("action_space"))
        while any(len(episodes) < per_copy for episodes in finished):
            if begin is not None:
                begin(runner.first)
            actions = np.array(act(runner.obs))
            if epsilon > 0.0:
                for i in np.flatnonzero(rng.random(copies) < epsilon):
                    actions[i] = runner.action_space.sample()
            _, ended = runner.step(actions)
            for episode in ended:
                finished[episode.env].append(episode)
            if ended:
                done = sum(min(len(episodes), per_copy) for episodes in finished)
                if on_episode is not None:
                    on_episode(done)
            if on_step is not None:
                on_step(done, int(runner.lengths.max()))
    finally:
        runner.close()
    kept = [episode for own in finished for episode in own[:per_copy]][:episodes]
    protocol = {
        "episodes": episodes,
        "seed": seed,
        "epsilon": epsilon,
        "max_episode_frames": world.max_episode_frames if is_capped(env_id) else None,
    }
    return Evaluation([e.episodic_return for e in kept], [e.length for e in kept], protocol)


def long_episode(env_id: str, world: EnvConfig, steps: int) -> str:
    """Describe the progress of an episode of LONG_EPISODE steps or more, with its limit; "" for a shorter one."""
    return "" if steps < LONG_EPISODE else f"the next is at step {steps:,} (of at most {_limit(env_id, world)})"


@functools.cache  # it is asked for at each step
def _limit(env_id: str, world: EnvConfig) -> str:
    return f"{episode_limit(env_id, world):,}" + (", --world.max-episode-frames" if is_capped(env_id) else "")


def _make_runner(env_id: str, copies: int, world: EnvConfig, generators: Generators, threads: int) -> VectorEnvRunner:
    try:
        return VectorEnvRunner(env_id, copies, world, generators, threads)
    except (UnusableEnvError, EnvStepError):  # the latter of its first reset
        if copies == 1:
            raise
        return VectorEnvRunner(env_id, 1, world, generators, threads)

"""The frames that are explained, chosen by a rule and never by hand: half by importance, half evenly spaced.

Games are played twice with the same seeds: first to know what every moment is worth, then to keep the chosen ones with
their truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from agents.analysis.witness import Seen, Witness
from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.cli.errors import ConfigError

MEAN_STEPS = 500  # of the mean frame
SPACING = 8  # steps between two frames that are chosen by importance
Moved = dict[tuple[str, float], np.ndarray]


@dataclass(frozen=True)
class Kept:
    """A chosen frame, and the same frame with each object moved, by category and distance; ("", 0): with none."""

    seen: Seen
    moved: Moved


def chosen_steps(importance: list[np.ndarray], count: int, first: int) -> set[tuple[int, int]]:
    """Choose frames, as (episode, step). importance: of each step of each episode; first: the first step to choose.

    Half of them are the most important, at least `SPACING` steps apart, where importance is the largest score of an
    action less the smallest (Amir & Amir 2018, "HIGHLIGHTS", eq. 1); the others are evenly spaced over all games.
    """
    places = [(e, s) for e, row in enumerate(importance) for s in range(first, len(row) - 1)]
    best = sorted(places, key=lambda place: -importance[place[0]][place[1]])
    taken: set[tuple[int, int]] = set()
    for episode, step in best:
        if len(taken) >= count // 2:
            break
        if not any((episode, step + near) in taken for near in range(1 - SPACING, SPACING)):
            taken.add((episode, step))
    rest = [place for place in places if place not in taken]
    wanted = min(count - len(taken), len(rest))
    return taken | {rest[i] for i in np.linspace(0, len(rest) - 1, wanted).round().astype(int)} if wanted else taken


def mean_frame(env_id: str, world: EnvConfig, policy: Policy, seed: int) -> np.ndarray:
    """Return the mean of the frames of `MEAN_STEPS` steps of play, once for each place of a stack, (C, H, W) float32.

    The baseline of networks that do not subtract one: without it black or gray would stand for no information.
    """
    channels = 1 if world.grayscale else 3
    seen = list(played(env_id, world, policy, seed, MEAN_STEPS))
    mean = np.mean([obs[-channels:].astype(np.float32) for obs in seen], 0)
    return np.tile(mean, (len(seen[0]) // channels, 1, 1))


def played(env_id: str, world: EnvConfig, policy: Policy, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Yield what an agent sees in so many steps of its play, (C, H, W) uint8; a game that ends is followed by another.

    Nothing is scored.
    """
    env = make_env(env_id, without_fire_reset(world))
    try:
        obs, _ = env.reset(seed=seed)
        for step in range(steps):
            yield np.asarray(obs)
            action, _ = decided(policy, np.asarray(obs), step == 0)
            obs, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                obs, _ = env.reset()
    finally:
        close_quietly(env)


def collect(
    witness: Witness,
    policy: Policy,
    *,
    episodes: int,
    seed: int,
    count: int,
    most_steps: int,
    on_step: Callable[[int], None] = lambda steps: None,
) -> list[Kept]:
    """Play games and return the chosen frames whose objects are proven, in order.

    on_step: gets the number of steps so far. Raises: ConfigError where no frame is left.
    """
    importance: list[np.ndarray] = []
    done = 0
    witness.recorder.reading = False
    for episode in range(episodes):
        worth: list[float] = []
        for scores in _play(witness, policy, seed + episode, most_steps):
            worth.append(float(scores[1].max() - scores[1].min()))
            on_step(done := done + 1)
        importance.append(np.array(worth))
    chosen = chosen_steps(importance, count, witness.world.frame_stack + 1)
    witness.recorder.reading = True
    kept: list[Kept] = []
    for episode in range(episodes):
        steps = {step for e, step in chosen if e == episode}
        if steps:
            kept += _keep(witness, policy, episode, seed + episode, steps)
    if not kept:
        raise ConfigError("no frame could be explained: the games are too short, or their truth cannot be proven")
    return kept


def _play(witness: Witness, policy: Policy, seed: int, most_steps: int) -> list[tuple[int, np.ndarray]]:
    """Play one game and return its actions and scores."""
    obs, found = witness.reset(seed), list[tuple[int, np.ndarray]]()
    if policy.seed is not None:
        policy.seed(seed)
    for step in range(most_steps):
        action, scores = decided(policy, obs, step == 0)
        found.append((action, scores))
        obs, _, over = witness.step(action)
        if over:
            break
    return found


def decided(policy: Policy, obs: np.ndarray, first: bool) -> tuple[int, np.ndarray]:
    """Return the action of one step and the scores of all. Raises: ConfigError for an agent without scores."""
    actions, scores = policy.choose(obs[None], np.array([first]))
    if scores is None:
        raise ConfigError("this agent has no scores of single actions: agents of discrete actions can be explained")
    return int(actions[0]), scores[0]


def _keep(witness: Witness, policy: Policy, episode: int, seed: int, steps: set[int]) -> list[Kept]:
    """Play a game again and keep the frames of these steps."""
    obs, total, kept = witness.reset(seed), 0.0, list[Kept]()
    if policy.seed is not None:
        policy.seed(seed)
    waiting: Seen | None = None
    depth = witness.world.frame_stack
    for step in range(max(steps) + 2):
        action, scores = decided(policy, obs, step == 0)
        if step in steps and witness.recorder.proven:
            masks = witness.stacked_masks()
            waiting = Seen(episode, step, obs.copy(), action, scores.copy(), masks, witness.screen(), total)
        # Frames of the stack are drawn anew once the next one begins.
        witness.recorder.drawing = any(step - 1 <= near < step + depth for near in steps)
        obs, reward, over = witness.step(action)
        total += reward
        if waiting is not None:
            kept.append(Kept(waiting, {} if over else witness.drawn()))
            waiting = None
        if over:
            break
    witness.recorder.drawing = False
    return kept

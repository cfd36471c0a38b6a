"""Adversarial states that a game can reach: the emulator is searched for positions that the agent cannot handle.

Attacks on pixels show frames that no game shows. Here somebody else plays a few steps instead of the agent, and hands
the game back: after random steps, and after those steps of many after which the agent loses most often. What is chosen
is tested by fresh games, for the best of many draws is partly luck.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.analysis.frames import decided
from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from envs import names
from envs.config import EnvConfig
from envs.copies import close_quietly
from envs.ground_truth.emulator import ale_interface, rgb_image
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.statistics import interval

CANDIDATES, TRIALS, TESTS = 8, 2, 6  # excursions that are tried; games from each, to choose and to test
HELD = 4  # steps for which an action of an excursion is held
SPACING = 40  # steps of the agent between two moments
LONGEST = 250  # steps after which nothing was lost
ARMS = ("the agent itself", "random steps", "searched steps")


@dataclass(frozen=True)
class Place:
    """A state of the game that can be returned to. stack: frames (c, H, W) that the agent has seen, oldest first."""

    state: Any
    stack: tuple[np.ndarray, ...]
    screen: np.ndarray


class Searched:
    """A game of an emulator that can be taken back to any place; its chance is then another than before."""

    def __init__(self, env_id: str, world: EnvConfig, policy: Policy, seed: int) -> None:
        """Raises: ConfigError for a game that cannot be taken back, or an agent that sees no frames of it."""
        if not names.is_atari(env_id) or world.observe != "pixels":
            raise ConfigError("--search needs an Atari game seen as frames: only their emulators can be taken back")
        self.env, self.policy, self.rng = (
            make_env(env_id, without_fire_reset(world)),
            policy,
            np.random.default_rng(seed),
        )
        self.depth, self.channels = world.frame_stack, 1 if world.grayscale else 3
        self.actions, self.seed = int(self.env.action_space.n), seed  # type: ignore[attr-defined]
        self.stack: deque[np.ndarray] = deque(maxlen=self.depth)
        self.begin()

    def begin(self) -> None:
        """Begin a game."""
        obs, _ = self.env.reset(seed=self.seed)
        self.seed += 1
        for part in np.split(np.asarray(obs), self.depth):
            self.stack.append(part)

    def here(self) -> Place:
        """Return the present state."""
        state = ale_interface(self.env).cloneState(include_rng=False)
        return Place(state, tuple(self.stack), rgb_image(self.env).copy())

    def back_to(self, place: Place) -> None:
        """Return to a state."""
        ale_interface(self.env).restoreState(place.state)
        self.stack.extend(place.stack)

    def step(self, action: int) -> tuple[float, bool]:
        """Take an action; return the reward, and whether something was lost: a point, a life, the game."""
        lives = ale_interface(self.env).lives()
        obs, gain, terminated, truncated, _ = self.env.step(action)
        reward = float(gain)
        self.stack.append(np.asarray(obs)[-self.channels :])
        return reward, bool(reward < 0 or terminated or truncated or ale_interface(self.env).lives() < lives)

    def own_action(self) -> int:
        """Return what the agent does here."""
        return decided(self.policy, np.concatenate(self.stack), False)[0]

    def over(self) -> bool:
        """Return whether the game is over."""
        return bool(ale_interface(self.env).game_over())

    def loses(self, place: Place) -> bool:
        """Play on from a place and return whether the agent loses the next point or life."""
        self.back_to(place)
        for _ in range(LONGEST):
            reward, lost = self.step(self.own_action())
            if lost or reward > 0:
                return lost
        return False

    def excursion(self, start: Place, steps: int, own: bool = False) -> Place | None:
        """Let somebody else play (own: the agent); return where that ends, None where something happened on the way."""
        self.back_to(start)
        action = 0
        for step in range(steps):
            if step % HELD == 0:
                action = int(self.rng.integers(self.actions))
            reward, lost = self.step(self.own_action() if own else action)
            if reward or lost:
                return None
        return self.here()

    def close(self) -> None:
        """Free the emulator."""
        close_quietly(self.env)


def search(
    game: Searched, moments: int, on_moment: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]:
    """Return how often the agent loses the next point after steps of each arm, with intervals over moments.

    Also returned are the screens of some moments, and of what was found from there.
    """
    steps = max(2 * game.depth, 8)  # so that the agent sees nothing of what was before
    rates: list[list[float]] = []
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    while len(rates) < moments:
        for _ in range(SPACING):
            game.step(game.own_action())
            if game.over():
                game.begin()
        start = game.here()
        found = [place for _ in range(CANDIDATES) if (place := game.excursion(start, steps)) is not None]
        own = game.excursion(start, steps, own=True)
        if len(found) > 1 and own is not None:
            losses = [sum(game.loses(place) for _ in range(TRIALS)) for place in found]
            worst = found[int(np.argmax(losses))]
            arms = (own, found[0], worst)
            rates.append([float(np.mean([game.loses(place) for _ in range(TESTS)])) for place in arms])
            shown.append((start.screen, worst.screen))
            on_moment(len(rates))
        game.back_to(start)
    table = np.array(rates)
    result: dict[str, Any] = {"moments": moments, "steps": steps, "candidates": CANDIDATES, "tests": TESTS}
    for column, name in enumerate(ARMS):
        own_rates = table[:, column]
        value, low, high = interval(lambda rows, own_rates=own_rates: float(own_rates[rows].mean()), np.arange(moments))  # type: ignore[misc]
        result |= {name: value, f"{name}/low": low, f"{name}/high": high}
    order = np.argsort(table[:, 0] - table[:, 2])
    return result, [shown[i] for i in order[:3]]

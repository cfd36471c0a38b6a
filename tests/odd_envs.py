"""Environments that do what those of users do: odd numbers, infos and actions, failing renders, few copies, no end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

NAME = "test/Odd-v0"


class Odd(gym.Env[Any, Any]):
    """Four steps of reward 1; asserts that each action lies in its space. What is odd is an argument.

    infos: what `info` holds differs from step to step. alone: a second copy raises. length: steps of an episode (0: it
    never ends). closing: `close` raises. renders: what `render` returns, or raises if it is an exception.
    space, observes: the observation space, and what is observed after so many steps. pays: the reward.
    exits: the method ("constructor", "reset", ...) that calls `sys.exit`, step and render after the first step.
    licenses: how many copies may be in use at a time; the next one's `reset` raises. moves_to: the working directory
    that `reset` changes to.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 30}
    alive: ClassVar[int] = 0
    closed: ClassVar[int] = 0
    modes: ClassVar[list[str | None]] = []
    in_use: ClassVar[set[int]] = set()

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        actions: Any = None,
        infos: bool = False,
        alone: bool = False,
        length: int = 4,
        closing: bool = False,
        renders: Any = None,
        raises_at: int = -1,
        space: Any = None,
        observes: Callable[[int], Any] = lambda steps: np.full(3, steps / 10, np.float32),
        pays: Any = 1.0,
        exits: str = "",
        licenses: int = 0,
        moves_to: str = "",
    ) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32) if space is None else space
        self.action_space = spaces.Discrete(2) if actions is None else actions
        self.infos, self.alone, self.length, self.closing, self.renders = infos, alone, length, closing, renders
        self.raises_at, self.observes, self.pays = raises_at, observes, pays
        self.exits, self.licenses, self.moves_to, self.steps = exits, licenses, moves_to, 0
        self._exit_in("constructor")
        if alone and Odd.alive:
            raise OSError("port 5005 is in use")
        self.open = True
        Odd.alive += 1
        Odd.modes.append(render_mode)

    def _exit_in(self, method: str) -> None:
        if self.exits == method:
            raise SystemExit  # as sys.exit() does; W&B replaces that by one that adds a 0

    def _info(self) -> dict[str, Any]:
        if not self.infos:
            return {}
        number = None if self.steps == 0 else self.steps
        late = {"late": np.zeros(2)} if self.steps > 2 else {}
        return {"number": number, "array": np.zeros(self.steps + 1), "lives": np.array([3, 2]), "text": "a", **late}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._exit_in("reset")
        if self.moves_to:
            os.chdir(self.moves_to)
        Odd.in_use.add(id(self))
        if self.licenses and len(Odd.in_use) > self.licenses:
            raise OSError(f"no more than {self.licenses} licenses")
        self.steps = 0
        return self.observes(0), self._info()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, getattr(action, "dtype", type(action)))
        if self.steps:
            self._exit_in("step")
        if self.steps == self.raises_at:
            raise ZeroDivisionError("the physics exploded")
        self.steps += 1
        reward = self.pays(self.steps) if callable(self.pays) else self.pays
        return self.observes(self.steps), reward, self.steps == self.length, False, self._info()

    def render(self) -> Any:
        if self.render_mode == "human":
            return None
        if self.steps:
            self._exit_in("render")
        rendered = self.renders(self.steps) if callable(self.renders) else self.renders
        if isinstance(rendered, Exception):
            raise rendered
        return rendered

    def close(self) -> None:
        Odd.in_use.discard(id(self))
        self._exit_in("close")
        if self.open:
            Odd.alive, self.open = Odd.alive - 1, False
        Odd.closed += 1
        if self.closing:
            raise AttributeError("'NoneType' object has no attribute 'viewer'")


class Alternate(Odd):
    """Pays for an action that differs from the one before: a greedy policy that sees no past earns nothing."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        before, self.before = (None if self.steps == 0 else self.before), action
        _, _, terminated, truncated, info = super().step(action)
        return np.zeros(3, np.float32), float(before is not None and action != before), terminated, truncated, info


class NoRenderMode(Odd):
    """Says that it renders, and takes no `render_mode`."""

    def __init__(self) -> None:
        super().__init__()


@contextmanager
def registered(entry: str = "Odd", **kwargs: Any) -> Iterator[str]:
    Odd.alive, Odd.closed, Odd.modes, Odd.in_use = 0, 0, [], set()
    gym.register(NAME, entry_point=f"{__name__}:{entry}", kwargs=kwargs)
    try:
        yield NAME
    finally:
        gym.registry.pop(NAME)

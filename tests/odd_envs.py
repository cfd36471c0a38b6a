"""Environments that do what environments of users do: odd infos and actions, renders that fail, one copy, no end."""

from __future__ import annotations

from collections.abc import Iterator
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
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 30}
    alive: ClassVar[int] = 0
    closed: ClassVar[int] = 0
    modes: ClassVar[list[str | None]] = []

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
    ) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Discrete(2) if actions is None else actions
        self.infos, self.alone, self.length, self.closing, self.renders = infos, alone, length, closing, renders
        self.raises_at = raises_at
        if alone and Odd.alive:
            raise OSError("port 5005 is in use")
        self.open = True
        Odd.alive += 1
        Odd.modes.append(render_mode)

    def _info(self) -> dict[str, Any]:
        if not self.infos:
            return {}
        number = None if self.steps == 0 else self.steps
        late = {"late": np.zeros(2)} if self.steps > 2 else {}
        return {"number": number, "array": np.zeros(self.steps + 1), "lives": np.array([3, 2]), "text": "a", **late}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, getattr(action, "dtype", type(action)))
        if self.steps == self.raises_at:
            raise ZeroDivisionError("the physics exploded")
        self.steps += 1
        return np.full(3, self.steps / 10, np.float32), 1.0, self.steps == self.length, False, self._info()

    def render(self) -> Any:
        if self.render_mode == "human":
            return None
        rendered = self.renders(self.steps) if callable(self.renders) else self.renders
        if isinstance(rendered, Exception):
            raise rendered
        return rendered

    def close(self) -> None:
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
    Odd.alive, Odd.closed, Odd.modes = 0, 0, []
    gym.register(NAME, entry_point=f"{__name__}:{entry}", kwargs=kwargs)
    try:
        yield NAME
    finally:
        gym.registry.pop(NAME)

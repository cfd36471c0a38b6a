"""Dreams in the codes of a generator as a Gymnasium vector environment: N at once, none of them drawn.

Observations are what `LatentDream.seen` gives, the code of the present frame and the memory of those before. The same
numbers can be had outside, with `--observe dream:RUN` (`agents/perception/codes.py`), so that an agent that has learned
in dreams can be tried in the game.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from agents.perception.dreams import END, dream_of
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.generators.world_models.latents import LatentDream, State

MAX_STEPS = 400  # of a dream: it goes wrong little by little, and the next begins from true frames


@functools.lru_cache(maxsize=4)
def beginnings_of(path: Path) -> tuple[State, Tensor]:
    """Return the states after all true beginnings of a run, and the last action of each, (N,) int64."""
    dream = dream_of(path)
    frames, executed = dream.beginnings
    with torch.no_grad():
        state = dream.model.begin(frames, executed)
    return state, executed[:, -1, -1].clamp_min(0) if executed.shape[1] else torch.zeros(len(frames), dtype=torch.int64)


def seen_space(model: LatentDream) -> gym.spaces.Box:
    """Return the space of what a policy sees."""
    high = np.ones(model.next_code.features + model.config.memory, np.float32)
    high[: model.next_code.features] = model.next_code.bound
    return gym.spaces.Box(-high, high, dtype=np.float32)


class LatentDreamVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N dreams in step; where one ends, the next begins as `autoreset_mode` says.

    temperature: of what is drawn; 0 takes the likeliest. sticky: probability that a frame repeats the action before.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        run: str,
        num_envs: int = 1,
        temperature: float = 1.0,
        sticky: float = 0.0,
        max_steps: int = MAX_STEPS,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        precision: Literal["float32", "bfloat16", "auto"] = "auto",
    ) -> None:
        """precision: of the dream's arithmetic; auto is bfloat16 where that is faster."""
        self.path, self.num_envs, self.temperature, self.sticky = Path(run), num_envs, temperature, sticky
        self.dream, self.max_steps, self.render_mode = dream_of(self.path), max_steps, render_mode
        self.model = cast(LatentDream, self.dream.model)
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.device_config = DeviceConfig(device="cpu", precision=precision)
        size = self.model.next_code.features + self.model.config.memory
        self.single_observation_space = seen_space(self.model)
        self.single_action_space = gym.spaces.Discrete(self.dream.world.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reading = f"a vector of {size} numbers: the code of the frame, and the memory of those before"
        self._over = np.zeros(num_envs, bool)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """As of Gymnasium's other vector environments."""
        return (getattr(self, name),) * self.num_envs

    @torch.no_grad()
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all dreams anew, from beginnings drawn by the seed."""
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        self.draws = torch.Generator().manual_seed(int(self.np_random.integers(2**31)))
        self.state, self.previous = self._fresh(self.num_envs)
        self.lengths = np.zeros(self.num_envs, np.int64)
        self._over = np.zeros(self.num_envs, bool)
        return self._seen(), {}

    def _fresh(self, count: int) -> tuple[State, Tensor]:
        """Return states after true beginnings, and the actions before."""
        states, previous = beginnings_of(self.path)
        chosen = torch.from_numpy(self.np_random.integers(len(previous), size=count))
        return State(states.codes[chosen], states.hidden[chosen], states.cell[chosen]), previous[chosen]

    def _seen(self) -> np.ndarray:
        return self.model.seen(self.state).numpy()

    def _begin_again(self, rows: np.ndarray) -> None:
        """Begin the dreams of these rows anew."""
        fresh, previous = self._fresh(int(rows.sum()))
        chosen = torch.from_numpy(rows)
        parts = {name: getattr(self.state, name).clone() for name in ("codes", "hidden", "cell")}
        for name, part in parts.items():
            part[chosen] = getattr(fresh, name)
        self.state = State(**parts)
        self.previous = self.previous.clone()
        self.previous[chosen] = previous
        self.lengths[rows] = 0

    @torch.no_grad()
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Dream a step of all. Rewards (N,) float64, terminated and truncated (N,) bool."""
        resting = self._over  # NEXT_STEP: these begin anew in this step
        executed = self._executed(torch.as_tensor(actions, dtype=torch.int64))
        with self.device_config.autocast(torch.device("cpu")):
            self.state, rewards, ends = self.model.advance(self.state, executed, self.temperature, self.draws)
        self.lengths += 1
        reward = rewards.double().numpy().copy()
        limit = torch.rand(ends.shape, generator=self.draws) if self.temperature else END
        terminated = (ends > limit).numpy()
        truncated = ~terminated & (self.lengths >= self.max_steps)
        if resting.any():
            self._begin_again(resting)
            reward[resting], terminated[resting], truncated[resting] = 0.0, False, False
        over, infos = terminated | truncated, dict[str, Any]()
        if self.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP:
            if over.any():
                final = np.empty(self.num_envs, object)
                seen = self._seen()
                for row in np.flatnonzero(over):
                    final[row] = seen[row]
                infos = {"final_obs": final, "_final_obs": over.copy(), "final_info": {}, "_final_info": over.copy()}
                self._begin_again(over)
        else:
            self._over = over
        return self._seen(), reward, terminated, truncated, infos

    def _executed(self, actions: Tensor) -> Tensor:
        """Return the actions of each frame, (N, F)."""
        columns = []
        for _ in range(self.dream.world.frame_skip):
            if self.sticky:
                repeats = torch.from_numpy(self.np_random.random(self.num_envs) < self.sticky)
                self.previous = torch.where(repeats, self.previous, actions)
            else:
                self.previous = actions
            columns.append(self.previous)
        return torch.stack(columns, 1)


class LatentDreamEnv(gym.Env[np.ndarray, np.int64]):
    """One such dream, with its frame as the picture."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, run: str, render_mode: str | None = None, **settings: Any) -> None:
        """settings: as of `LatentDreamVectorEnv`."""
        self.vec = LatentDreamVectorEnv(run, 1, **settings)
        self.render_mode = render_mode
        self.observation_space, self.action_space = self.vec.single_observation_space, self.vec.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a dream."""
        super().reset(seed=seed)
        return self.vec.reset(seed=int(self.np_random.integers(2**31)))[0][0], {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Dream a step; the next one begins with `reset`."""
        obs, reward, terminated, truncated, _ = self.vec.step(np.array([action]))
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray:
        """Draw the present frame, (H, W, 3) uint8."""
        from rl_gen_lab.generators.world_models.interfaces import painted

        frames = self.vec.model.decode(self.vec.state.codes)
        return np.ascontiguousarray(painted(frames, self.vec.dream.world.colors)[0].permute(1, 2, 0).numpy())

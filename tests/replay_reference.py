"""A reference for the replay memory: whole episodes in plain Python lists, of which nothing is forgotten."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st

from agents.rl.replay import Replay

CPU = torch.device("cpu")


@dataclass
class EpisodeList:
    """An episode as it was played: one observation more than actions once its last one is known."""

    frames: list[np.ndarray] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    value_ends: list[bool] = field(default_factory=list)
    terminated: bool = False
    over: bool = False  # by termination, truncation or cut


class Reference:
    """A random vector environment in NEXT_STEP autoreset, which feeds a replay memory and remembers every episode.

    `where[(t, e)]`: the episode and position of the transition that environment e made at vector step t; autoreset
    steps are absent.
    """

    def __init__(
        self, num_envs: int, frame_shape: tuple[int, ...], stack: int, seed: int, end: float, life: float, cut: float
    ) -> None:
        self.num_envs, self.frame_shape, self.stack = num_envs, frame_shape, stack
        self.chance = random.Random(seed)
        self.end, self.life, self.cut = end, life, cut
        self.episodes = [EpisodeList() for _ in range(num_envs)]
        self.first = [True] * num_envs
        self.dummy = [False] * num_envs
        self.where: dict[tuple[int, int], tuple[EpisodeList, int]] = {}
        self.time = 0
        self.serial = 0
        self.current = [self._new_frame() for _ in range(num_envs)]

    def _new_frame(self) -> np.ndarray:
        """A frame like no other, and unlike the zeros of an empty stack."""
        self.serial += 1
        size = int(np.prod(self.frame_shape))
        if len(self.frame_shape) == 1:
            return np.arange(size, dtype=np.float32) + self.serial * size
        bytes_ = [(self.serial >> (8 * (i % 3))) % 256 if i % 3 < 2 else 1 + i % 250 for i in range(size)]
        return np.array(bytes_, dtype=np.uint8).reshape(self.frame_shape)

    def step(self, *replays: Replay) -> None:
        """One vector step, pushed into `replays`."""
        n, chance = self.num_envs, self.chance
        actions = [chance.randrange(100) for _ in range(n)]
        rewards = [chance.randrange(-8, 9) / 4 for _ in range(n)]
        ends = [not self.dummy[e] and chance.random() < self.end for e in range(n)]
        terminated = [ends[e] and chance.random() < 0.5 for e in range(n)]
        truncated = [ends[e] and (not terminated[e] or chance.random() < 0.2) for e in range(n)]
        value_ends = [not self.dummy[e] and chance.random() < self.life for e in range(n)]
        for e in range(n):
            if self.dummy[e]:
                rewards[e], actions[e] = 777.0, 777  # must never be seen
        frame = torch.from_numpy(np.stack(self.current))
        flags = [torch.tensor(f) for f in (terminated, truncated, value_ends, self.first, self.dummy)]
        for replay in replays:
            replay.push(frame, torch.tensor(actions), torch.tensor(rewards), *flags)
        for e in range(n):
            following = self._new_frame()
            if self.dummy[e]:
                self.episodes[e] = EpisodeList()
            else:
                episode = self.episodes[e]
                episode.frames.append(self.current[e])
                episode.actions.append(actions[e])
                episode.rewards.append(rewards[e])
                episode.value_ends.append(value_ends[e])
                self.where[self.time, e] = (episode, len(episode.actions) - 1)
                if ends[e]:
                    episode.frames.append(following)
                    episode.terminated, episode.over = terminated[e], True
            self.current[e] = following
            self.first[e], self.dummy[e] = self.dummy[e], ends[e]
        self.time += 1

    def restart(self, *replays: Replay) -> None:
        """Cut every episode short and begin anew."""
        frame = torch.from_numpy(np.stack(self.current))
        for replay in replays:
            replay.cut(frame)
        for e, episode in enumerate(self.episodes):
            if not episode.over and episode.actions:
                episode.frames.append(self.current[e])
                episode.over = True
        self.episodes = [EpisodeList() for _ in range(self.num_envs)]
        self.current = [self._new_frame() for _ in range(self.num_envs)]
        self.first, self.dummy = [True] * self.num_envs, [False] * self.num_envs
        self.time += 1

    def play(self, steps: int, *replays: Replay) -> None:
        for _ in range(steps):
            if self.time and self.chance.random() < self.cut:
                self.restart(*replays)
            else:
                self.step(*replays)

    # ---- what a sample must be

    def samplable(self, replay: Replay, n_step: int) -> set[tuple[int, int]]:
        """Real transitions whose whole stack and whole n-step window are among the vector steps still held."""
        held = min(self.time, replay.length)
        oldest = self.time - held + (replay.frame_stack - 1 if held == replay.length else 0)
        return {(t, e) for t, e in self.where if t >= oldest and t + n_step <= self.time - 1}

    def locate(self, index: int, replay: Replay) -> tuple[int, int]:
        """(t, e) of a flat slot number: the latest vector step that was written there."""
        row, e = divmod(index, self.num_envs)
        return self.time - 1 - (self.time - 1 - row) % replay.length, e

    def observation(self, episode: EpisodeList, i: int) -> np.ndarray:
        if len(self.frame_shape) == 1:
            return episode.frames[i]
        blank = np.zeros(self.frame_shape, np.uint8)
        rows = [episode.frames[j] if j >= 0 else blank for j in range(i - self.stack + 1, i + 1)]
        return np.concatenate(rows)

    def transition(self, t: int, e: int, n_step: int, gamma: float) -> tuple[np.ndarray, int, float, float, np.ndarray]:
        """obs_tm1, action_tm1, reward_t, discount_t, obs_t, in float64 and by the book."""
        episode, i = self.where[t, e]
        total, discount, j = 0.0, 1.0, i
        for _ in range(n_step):
            total += discount * episode.rewards[j]
            discount *= gamma
            lost = episode.value_ends[j]
            j += 1
            last = episode.over and j == len(episode.actions)
            if lost or (last and episode.terminated):
                discount = 0.0
            if lost or last:
                break
        return self.observation(episode, i), episode.actions[i], total, discount, self.observation(episode, j)


@dataclass(frozen=True)
class Case:
    num_envs: int
    length: int
    frame_shape: tuple[int, ...]
    stack: int
    n_step: int
    steps: int
    seed: int
    end: float
    life: float
    cut: float

    def make(self, alpha: float = 0.0) -> tuple[Reference, Replay]:
        reference = Reference(self.num_envs, self.frame_shape, self.stack, self.seed, self.end, self.life, self.cut)
        dtype = torch.float32 if len(self.frame_shape) == 1 else torch.uint8
        # One slot short of a further vector step, which must be rounded down.
        capacity = self.length * self.num_envs + self.num_envs - 1
        return reference, Replay(capacity, self.num_envs, self.frame_shape, dtype, self.stack, CPU, alpha)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    vector = draw(st.booleans())
    stack = 1 if vector else draw(st.integers(1, 4))
    shape = (3,) if vector else draw(st.sampled_from([(1, 2, 3), (3, 2, 2)]))
    n_step = draw(st.integers(1, 5))
    return Case(
        num_envs=draw(st.integers(1, 4)),
        length=draw(st.integers(stack + n_step, 16)),
        frame_shape=shape,
        stack=stack,
        n_step=n_step,
        steps=draw(st.integers(1, 60)),
        seed=draw(st.integers(0, 2**31)),
        end=draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0])),
        life=draw(st.sampled_from([0.0, 0.1, 0.5])),
        cut=draw(st.sampled_from([0.0, 0.1, 0.3])),
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_env_replay(length: int = 20, stack: int = 1, alpha: float = 0.0) -> Replay:
    shape, dtype = ((1,), torch.float32) if stack == 1 else ((1, 1, 1), torch.uint8)
    return Replay(length, 1, shape, dtype, stack, CPU, alpha)


def push(replay: Replay, frame: float, reward: float = 0.0, **flags: bool) -> None:
    """One step of one environment; flags by name, action number equal to the frame."""
    tensors = [
        torch.tensor([flags.get(name, False)]) for name in ("terminated", "truncated", "value_ends", "first", "dummy")
    ]
    value = torch.full((1, *replay.frame_shape), frame).to(replay.frames.dtype)
    replay.push(value, torch.tensor([int(frame)]), torch.tensor([reward]), *tensors)


def busy(alpha: float = 0.0, seed: int = 5) -> tuple[Reference, Replay]:
    """A full, turned ring in which a third of the slots are autoreset steps."""
    case = Case(3, 24, (2,), 1, 2, 61, seed, end=0.45, life=0.0, cut=0.05)
    reference, replay = case.make(alpha)
    reference.play(case.steps, replay)
    return reference, replay

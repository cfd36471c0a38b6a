"""Replay memory: one ring of single observations, from which stacks and n-step returns are built when sampled.

A slot (t, e) holds what environment e showed before vector step t, and what followed: obs, action, reward, flags. All
environments share one cursor, because in NEXT_STEP autoreset every environment writes exactly one slot per vector
step: the slot after an episode's end (`dummy`) holds the true last observation, so a truncated episode is bootstrapped
from what was really seen, and no window ever needs to cross a reset.

100,000 transitions of 84x84 gray take 0.71 GB, `packed` about a hundredth of it. On a GPU nothing waits for the host.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import LazyModule, torch
from rl_gen_lab.cli.settings import Exponent, Ranged, Steps

if TYPE_CHECKING:
    from torch import Tensor

packed_store: Any = LazyModule("agents.rl.packed_store")
Prepared = list[tuple["Batch", "Tensor"]]
FLAGS = ("terminated", "truncated", "value_ends", "first", "dummy")
# Candidates drawn for each uniform sample, so that dummy slots can be passed over without asking the device how many.
CANDIDATES = 4


class ReplayTooLargeError(ConfigError):
    """The replay asked for does not fit into memory; the message names the size that does."""


@dataclass(frozen=True)
class ReplayConfig(Ranged):
    """Replay memory and sampling settings."""

    # Transitions kept, over all environments.
    capacity: Steps = 100_000
    # Exponent of |TD error| in prioritized replay; 0 samples uniformly.
    priority_exponent: Exponent = 0.0
    # Exponent of the importance weights that correct prioritized sampling; 1 corrects fully.
    priority_beta: Exponent = 0.4
    # Keep frames packed: about a hundredth of the memory for more time at each update. On the CPU alone.
    packed: bool = False


@dataclass(frozen=True)
class Batch:
    """A sampled minibatch.

    obs_tm1, obs_t: (B, S*C, H, W) uint8 or (B, D) float32, before the action and where the n-step window ends;
    action_tm1: (B,) int64; reward_t: (B,) float32, sum of discounted rewards of the window; discount_t: (B,) float32,
    gamma^(steps in the window), 0 if it ended by termination; weight: (B,) float32, importance weight (0: padding);
    index: (B,) int64, flat slot number, for `update_priorities`.
    """

    obs_tm1: Tensor
    action_tm1: Tensor
    reward_t: Tensor
    discount_t: Tensor
    obs_t: Tensor
    weight: Tensor
    index: Tensor


class Replay:
    """Ring of `capacity` transitions of N environments; the last `frame_stack` frames are stacked when sampled.

    frame_shape: shape of one stored observation, (C, H, W) uint8 or (D,) float32; frame_stack: S, 1 for vectors.
    priority_exponent: alpha of prioritized replay, 0 for uniform (Schaul et al. 2016, "Prioritized experience
    replay", eq. 1). free_bytes: memory that is free on the device. packed: frames are kept packed.
    Raises: ReplayTooLargeError.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        frame_shape: tuple[int, ...],
        dtype: torch.dtype,
        frame_stack: int,
        device: torch.device,
        priority_exponent: float = 0.0,
        free_bytes: int = sys.maxsize,
        packed: bool = False,
    ) -> None:
        self.length = max(capacity // num_envs, 2)
        self.num_envs, self.frame_shape, self.frame_stack, self.device = num_envs, frame_shape, frame_stack, device
        self.priority_exponent = priority_exponent
        slots, width = self.length * num_envs, int(torch.Size(frame_shape).numel())
        stored_bytes = int(width * dtype.itemsize * (packed_store.SHARE if packed else 1))
        _refuse_too_large(slots, stored_bytes, device, free_bytes)
        # One extra row stays zero: what a stack shows before the first frame of an episode.
        self.frames: Any = torch.zeros((0 if packed else slots + 1, width), dtype=dtype, device=device)
        if packed:
            self.frames = packed_store.PackedStore(self.length, num_envs, frame_shape)
        self.action = torch.zeros(slots, dtype=torch.int64, device=device)
        self.reward = torch.zeros(slots, dtype=torch.float32, device=device)
        self.flags = torch.zeros((slots, len(FLAGS)), dtype=torch.bool, device=device)
        self.priority = torch.zeros(slots if priority_exponent else 0, dtype=torch.float64, device=device)
        self.max_priority = torch.ones((), dtype=torch.float64, device=device)
        names = ("frames", "action", "reward", "flags", "priority")
        self._stored = names[1 if packed else 0 : 5 if priority_exponent else 4]
        self.cursor = 0  # next slot to write, in vector steps modulo length
        self.size = 0  # vector steps stored

    def __len__(self) -> int:
        """Return the number of slots stored, over all environments."""
        return self.size * self.num_envs

    @property
    def size_bytes(self) -> int:
        """Memory of all arrays [bytes]."""
        return sum(t.nbytes for t in (self.frames, self.action, self.reward, self.flags, self.priority))

    def stored_frames(self) -> Tensor:
        """Return all frames stored so far, (M, *frame_shape)."""
        return self.frames[: len(self)].view(-1, *self.frame_shape)

    def newest(self, obs: np.ndarray) -> np.ndarray:
        """Return what is stored of observations: of stacks (N, S*C, H, W) the last frame, vectors (N, D) whole."""
        return obs[:, -self.frame_shape[0] :] if obs.ndim == 4 else obs

    def push(self, frame: Tensor, action: Tensor, reward: Tensor, *flags: Tensor) -> None:
        """Write a vector step. frame: (N, *frame_shape), newest before the action; flags: FLAGS, each (N,)."""
        at = slice(self.cursor * self.num_envs, (self.cursor + 1) * self.num_envs)
        self.frames[at] = frame.reshape(self.num_envs, -1)
        self.action[at] = action
        self.reward[at] = reward
        self.flags[at] = torch.stack(flags, dim=1)
        if self.priority_exponent:
            self.priority[at] = self.max_priority * ~flags[-1]  # dummy steps have none
        self.cursor = (self.cursor + 1) % self.length
        self.size = min(self.size + 1, self.length)

    def cut(self, frame: Tensor) -> None:
        """End every episode under way as a truncation; frame: (N, *frame_shape), the last observation of each."""
        last = (self.cursor - 1) % self.length * self.num_envs
        at = slice(last, last + self.num_envs)
        flags = dict(zip(FLAGS, self.flags[at].unbind(1), strict=True))
        over = flags["terminated"] | flags["truncated"] | flags["dummy"]
        self.flags[at, FLAGS.index("truncated")] |= ~over
        none = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        zero = torch.zeros(self.num_envs, device=self.device)
        self.push(frame, zero.long(), zero, none, none, none, flags["dummy"], ~none)

    def _window(self, n_step: int) -> tuple[int, int]:
        """Return the first age that may be sampled (0 = oldest) and how many: whole stacks, whole n-step windows."""
        oldest = self.frame_stack - 1 if self.size == self.length else 0
        return oldest, self.size - n_step - oldest

    def can_sample(self, n_step: int) -> bool:
        """Return whether at least one n-step window is complete."""
        return self._window(n_step)[1] > 0

    def sample(
        self, batch_size: int, n_step: int, gamma: float, generator: torch.Generator, beta: float = 1.0
    ) -> Batch:
        """Draw a minibatch, with replacement.

        beta: exponent of the importance weights of prioritized replay, normalized by their maximum in the batch
        (Schaul et al. 2016, section 3.4).
        """
        if self.priority_exponent:
            index, weight = self._draw_prioritized(batch_size, n_step, generator, beta)
        else:
            index, weight = self._draw_uniform(batch_size, n_step, generator)
        reward_t, discount_t, end = self._n_step(index, n_step, gamma)
        both = self._stack(torch.cat((index, end)))
        return Batch(both[:batch_size], self.action[index], reward_t, discount_t, both[batch_size:], weight, index)

    def _draw_uniform(self, batch_size: int, n_step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        lowest, count = self._window(n_step)
        draws = torch.randint(
            count * self.num_envs, (CANDIDATES * batch_size,), generator=generator, device=self.device
        )
        oldest = (self.cursor - self.size) % self.length
        index = (draws + (oldest + lowest) * self.num_envs) % (self.length * self.num_envs)
        real = ~self.flags[index, FLAGS.index("dummy")]
        # Real transitions to the front, in the order drawn: uniform over them, at no host synchronization.
        order = torch.argsort(real, descending=True, stable=True)[:batch_size]
        return index[order], real[order].float()

    def _draw_prioritized(
        self, batch_size: int, n_step: int, generator: torch.Generator, beta: float
    ) -> tuple[Tensor, Tensor]:
        lowest, count = self._window(n_step)
        age = (torch.arange(self.length, device=self.device) - (self.cursor - self.size)) % self.length
        complete = (age >= lowest) & (age < lowest + count)
        mass = (self.priority.view(self.length, self.num_envs) * complete[:, None]).view(-1)
        cumulative = mass.cumsum(0)
        u = torch.rand(batch_size, generator=generator, device=self.device, dtype=torch.float64)
        # One draw in each of B equal strata of the total mass (Schaul et al. 2016, appendix B.2.1).
        targets = (torch.arange(batch_size, device=self.device) + u) / batch_size * cumulative[-1]
        index = torch.searchsorted(cumulative, targets, right=True).clamp_(max=mass.numel() - 1)
        probability = mass[index] / cumulative[-1]
        weight = (probability * count * self.num_envs).clamp_min(1e-12).pow(-beta)
        # A target rounded up to the total mass lands behind the last transition: padding.
        weight = weight * (probability > 0)
        return index, (weight / weight.max()).float()

    def update_priorities(self, index: Tensor, td_error: Tensor) -> None:
        """Set the priorities of sampled transitions (`Batch.index`) to |td_error|^alpha."""
        if not self.priority_exponent:
            return
        priority = (td_error.abs().double() + 1e-6).pow(self.priority_exponent)
        # What has no priority is padding and gets none.
        self.priority[index] = priority * (self.priority[index] > 0)
        self.max_priority = torch.maximum(self.max_priority, priority.max())

    def _n_step(self, index: Tensor, n_step: int, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Compute n-step return, discount and end slot of each window. Source: Sutton & Barto 2018, eq. 7.1.

        The window stops at the first termination, end of value (life, point) or truncation; the last stops no value.
        """
        slots = self.length * self.num_envs
        steps = torch.arange(n_step, device=self.device)
        window = (index[:, None] + steps * self.num_envs) % slots  # (B, n)
        flags = self.flags[window]  # (B, n, flags)
        stops_value = flags[..., FLAGS.index("terminated")] | flags[..., FLAGS.index("value_ends")]
        stops = stops_value | flags[..., FLAGS.index("truncated")]
        # inside[k]: nothing stopped before step k, so its reward counts.
        inside = torch.cumprod(torch.nn.functional.pad((~stops).float(), (1, -1), value=1.0), dim=1)
        powers = gamma ** steps.float()
        reward_t = (self.reward[window] * inside * powers).sum(1)
        length = inside.sum(1)
        alive = 1.0 - (stops_value.float() * inside).amax(1)
        discount_t = gamma**length * alive
        return reward_t, discount_t, (index + length.long() * self.num_envs) % slots

    def _stack(self, index: Tensor) -> Tensor:
        """Return observations at slots `index`: (B, S*C, H, W), zeros before an episode's first frame, or (B, D)."""
        slots = self.length * self.num_envs
        if self.frame_stack == 1:
            return self.frames[index].view(-1, *self.frame_shape)
        back = torch.arange(self.frame_stack - 1, -1, -1, device=self.device)
        window = (index[:, None] - back * self.num_envs) % slots  # (B, S), oldest first
        first = self.flags[window, FLAGS.index("first")]
        # A frame belongs to the stack if no episode began after it: no `first` among the newer frames.
        newer = torch.nn.functional.pad(first, (-1, 1)).flip(1).cumsum(1).flip(1)
        rows = torch.where(newer > 0, slots, window)
        channels, *size = self.frame_shape
        return self.frames.index_select(0, rows.view(-1)).view(-1, self.frame_stack * channels, *size)

    def state_dict(self) -> dict[str, Any]:
        """Return the slots in use; on a CPU the arrays are the memory itself, not copies."""
        used = len(self)
        state: dict[str, Any] = {name: getattr(self, name)[:used].cpu().numpy() for name in self._stored}
        state |= {} if "frames" in state else {"packed": self.frames.state_dict()}
        return state | {"cursor": self.cursor, "size": self.size, "max_priority": float(self.max_priority)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.cursor = range(self.length).index(int(state["cursor"]))  # ValueError for another
        self.size = range(self.length + 1).index(int(state["size"]))
        for name in self._stored:
            getattr(self, name)[: len(self)] = torch.from_numpy(state[name]).to(self.device)
        if "frames" not in self._stored:
            self.frames.load_state_dict(state["packed"])
        self.max_priority.fill_(state["max_priority"])


class PreparedBatches:
    """Prepares the next minibatch in a second thread, while the network learns from the one before."""

    def __init__(self, prepare: Callable[[], Prepared], threads: int) -> None:
        """prepare: draws a minibatch for each learner, with its targets; threads: of torch in the second thread."""
        self.prepare = prepare
        self._worker = ThreadPoolExecutor(1, "minibatches", torch.set_num_threads, (threads,))
        self._next: Future[Prepared] | None = None

    def begin(self) -> None:
        """Begin to prepare the next minibatch, unless that is under way."""
        if self._next is None:
            self._next = self._worker.submit(self.prepare)

    def take(self) -> Prepared:
        """Return the next minibatch: the one that was begun, or else one that is prepared now."""
        begun, self._next = self._next, None
        return self.prepare() if begun is None else begun.result()


def make_replay(
    config: ReplayConfig,
    num_envs: int,
    observation_space: Space[Any],
    frame_stack: int,
    device: torch.device,
    free_bytes: int,
) -> Replay:
    """Make an empty replay memory for the observations of an environment: stacks of frames (C, H, W), or vectors (D,).

    free_bytes: memory that is free on the device. Raises: ReplayTooLargeError.
    """
    shape = observation_space.shape
    assert shape is not None
    stack = frame_stack if (pixels := len(shape) == 3) else 1
    frame_shape, dtype = (shape[0] // stack, *shape[1:]), torch.uint8 if pixels else torch.float32
    if config.packed and not (pixels and device.type == "cpu"):
        raise ConfigError("--replay.packed keeps frames of pixels in the memory of the CPU: leave it out here")
    exponent, packed = config.priority_exponent, config.packed
    return Replay(config.capacity, num_envs, frame_shape, dtype, stack, device, exponent, free_bytes, packed)


def _refuse_too_large(slots: int, bytes_per_slot: int, device: torch.device, free_bytes: int) -> None:
    per_slot = bytes_per_slot + 32
    if slots * per_slot > 0.9 * free_bytes:
        fits = int(0.8 * free_bytes / per_slot)
        instead = f"use --replay.capacity {fits} or less" if fits else "its observations are too large to remember"
        raise ReplayTooLargeError(
            f"a replay memory of {slots:,} transitions takes {slots * per_slot / 1e9:.1f} GB,"
            f" {device} has {free_bytes / 1e9:.1f} GB free: {instead}"
        )

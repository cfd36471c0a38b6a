"""Settings of an environment: its observations and its emulator. Imports neither Gymnasium nor an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

import tyro
from annotated_types import Interval

MODEL_KINDS = ("detector", "segment", "vae", "dream")  # models that observe for an agent, as in "detector:RUN"
MAX_EPISODE_FRAMES = 108_000  # half an hour of an Atari game, the usual limit since Mnih et al. 2015


class UnknownEnvError(ValueError):
    """The environment does not exist; the message names the nearest ones."""


def check_ranges(config: object, prefix: str = "") -> None:
    """Refuse a number out of the range that is annotated at its type. Raises: ValueError, naming it with `prefix`."""
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        if wrong := out_of_range(getattr(config, name), hint):
            raise ValueError(f"{prefix}{name} {wrong}")


def out_of_range(value: object, hint: Any) -> str | None:
    """Return what is wrong with a number by the range (ge, and le or lt) in its type; None where nothing is."""
    for r in ranges_in(hint) if isinstance(value, int | float) else ():
        if not (r.ge <= value and (value <= r.le if r.lt is None else value < r.lt)):  # NaN is neither
            return f"must be {in_words(r)}, not {value}"
    return None


def ranges_in(hint: Any) -> Iterator[Any]:
    """Yield the ranges of a type, and of those that it is made of."""
    yield from (hint,) if isinstance(hint, Interval) else (r for part in get_args(hint) for r in ranges_in(part))


def in_words(r: Any) -> str:
    """Return a range as in "from 1 to 10" or "from 0 to below 1"."""
    high = {10**9: "10^9", 2**63: "2^63"}.get(r.lt or r.le, f"{r.lt or r.le:,}")
    return f"from {r.ge:,} to {'' if r.lt is None else 'below '}{high}"


@dataclass(frozen=True)
class EnvConfig:
    """Observations of an environment, and settings of its emulator. None: as registered for the environment id."""

    # The observation: pixels; objects (true positions and counts, where `envs/ground_truth` can read them); the same as
    # a trained model detects them, detector:RUN or segment:RUN; codes of the last frames, vae:RUN or dream:RUN.
    observe: Annotated[str, tyro.conf.arg(aliases=["--observe"])] = "pixels"
    # Probability that the emulator repeats the previous action, each frame (0.25 for ALE/*-v5, 0 for *NoFrameskip-v4).
    sticky: Annotated[float, Interval(ge=0, lt=1)] | None = None
    # Emulator frames per agent step; the reward of a step is the sum over its frames.
    frame_skip: Annotated[int, Interval(ge=1, le=1_000)] = 4
    # Pixelwise maximum over the last two frames of a step (Atari sprites flicker).
    max_pool: bool = True
    # Height and width of a frame in pixels after scaling.
    image_size: Annotated[int, Interval(ge=1, le=1_024)] = 84
    # Gray frames (1 channel) instead of RGB (3 channels).
    grayscale: bool = True
    # Frames per observation, oldest first.
    frame_stack: Annotated[int, Interval(ge=1, le=256)] = 4
    # At most this many random-length no-ops at the start of a game.
    noop_max: Annotated[int, Interval(ge=0, le=1_000)] = 30
    # All 18 joystick actions instead of the game's minimal set.
    full_action_space: bool = False
    # Press FIRE at the start of a game (None: only for the older *-v4 ids, whose published tables do so).
    fire_reset: bool | None = None
    # Learning treats the loss of a life as termination; the game itself and every reported return go on.
    episodic_life: bool = False
    # Learning treats every reward as termination, for games of points: the agent maximizes the probability of the next
    # point, and with a discount near 1 not its speed; the game goes on. Useless where every step has a reward: nothing
    # later would count. Source: Karpathy 2016, "Pong from pixels".
    episodic_points: bool = False
    # Learning sees rewards clipped to [-1, 1]; every reported return is of unclipped rewards.
    clip_rewards: bool = True
    # A game is truncated after this many emulator frames; an episode of an environment without a time limit of its own
    # after as many steps, so that the evaluation of an agent that goes in circles ends.
    max_episode_frames: Annotated[int, Interval(ge=1, le=10**9)] = MAX_EPISODE_FRAMES

    def __post_init__(self) -> None:
        check_ranges(self, "world.")
        model, colon, source = self.observe.partition(":")
        if self.observe not in ("pixels", "objects") and not (model in MODEL_KINDS and colon and source):
            known = ", ".join(["pixels", "objects", *(f"{name}:RUN" for name in MODEL_KINDS)])
            raise ValueError(f"world.observe must be one of {known}, not {self.observe!r}")

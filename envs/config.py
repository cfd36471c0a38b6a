"""Settings of an environment: its observations and its emulator. Imports neither Gymnasium nor an emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

DETECTOR_KINDS = ("detector", "segment")  # models that observe for an agent, as in "detector:RUN"
MAX_EPISODE_FRAMES = 108_000  # half an hour of an Atari game, the usual limit since Mnih et al. 2015


class UnknownEnvError(ValueError):
    """The environment does not exist; the message names the nearest ones."""


@dataclass(frozen=True)
class EnvConfig:
    """Observations of an environment, and settings of its emulator. None: as registered for the environment id."""

    # The observation: pixels; objects (true positions and counts, for environments that `envs/ground_truth` can read);
    # or these numbers as detected by a trained model, detector:RUN or segment:RUN.
    observe: Annotated[str, tyro.conf.arg(aliases=["--observe"])] = "pixels"
    # Probability that the emulator repeats the previous action, each frame (0.25 for ALE/*-v5, 0 for *NoFrameskip-v4).
    sticky: float | None = None
    # Emulator frames per agent step; the reward of a step is the sum over its frames.
    frame_skip: int = 4
    # Pixelwise maximum over the last two frames of a step (Atari sprites flicker).
    max_pool: bool = True
    # Height and width of a frame in pixels after scaling.
    image_size: int = 84
    # Gray frames (1 channel) instead of RGB (3 channels).
    grayscale: bool = True
    # Frames per observation, oldest first.
    frame_stack: int = 4
    # At most this many random-length no-ops at the start of a game.
    noop_max: int = 30
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
    max_episode_frames: int = MAX_EPISODE_FRAMES

    def __post_init__(self) -> None:
        model, colon, source = self.observe.partition(":")
        if self.observe not in ("pixels", "objects") and not (model in DETECTOR_KINDS and colon and source):
            known = ", ".join(["pixels", "objects", *(f"{name}:RUN" for name in DETECTOR_KINDS)])
            raise ValueError(f"world.observe must be one of {known}, not {self.observe!r}")
        if self.sticky is not None and not 0.0 <= self.sticky < 1.0:
            raise ValueError(f"world.sticky must lie in [0, 1), not {self.sticky}")
        for field in ("frame_skip", "image_size", "frame_stack", "max_episode_frames"):
            if getattr(self, field) < 1:
                raise ValueError(f"world.{field} must be at least 1, not {getattr(self, field)}")
        if self.noop_max < 0:
            raise ValueError(f"world.noop_max must be at least 0, not {self.noop_max}")

"""Worlds behind one standard pipeline: `make_vec` for training and evaluation, `make_env` to look at one copy.

Pixels come as (N, S*C, H, W) uint8: a stack of S frames of C channels, oldest first, zeros before the first frame of an
episode. Everything else comes as (N, D) float32. Rewards are never clipped here: clipping is the learner's view.
With `observe="objects"` the observation is what `envs/ground_truth` knows of the frame, (N, D) float32, in place of
pixels; with "detector:RUN" or "segment:RUN" the same numbers as a model sees them in the frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard

import ale_py.vector_env
import gymnasium as gym
import numpy as np
import tyro
from gymnasium import spaces
from gymnasium import wrappers as w
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import vector as vw

from envs import names
from envs.ground_truth.observed_state import Eyes
from envs.ground_truth.wrappers import ObjectObservation

# Worlds are drawn into arrays, never into a window: SDL must not look for a screen or a sound card.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")

KINDS_OF_EYES = ("detector", "segment")
# How to make the eyes of a kind from what stands behind the colon. Models are not known here: whoever knows both
# worlds and models puts them in.
EYES: dict[str, Callable[[str], Eyes]] = {}
MAX_EPISODE_FRAMES = 108_000  # half an hour of an Atari game, the usual limit since Mnih et al. 2015
SMALLEST_PICTURE = 32  # a uint8 array with a shorter side is a vector of numbers, not a picture


class UnusableEnvError(names.UnknownEnvError):
    """The world is registered but cannot be made, or not with these settings; the message says why."""


@dataclass(frozen=True)
class EnvConfig:
    """What the agent sees of a world, and how the emulator runs. `None` means: as the environment id registers it."""

    # What the agent sees: pixels; objects (positions and counts, true, only for the worlds that `envs/ground_truth` can
    # read); or these numbers as a trained model sees them, detector:RUN or segment:RUN.
    observe: Annotated[str, tyro.conf.arg(aliases=["--observe"])] = "pixels"
    # Probability that the emulator repeats the previous action, each frame (0.25 for ALE/*-v5, 0 for *NoFrameskip-v4).
    sticky: float | None = None
    # Emulator frames per agent step; the reward of a step is the sum over its frames.
    frame_skip: int = 4
    # Pixelwise maximum over the last two frames of a step (Atari sprites flicker).
    max_pool: bool = True
    # Height and width of a frame in pixels after scaling.
    image_size: int = 84
    # Grey frames (1 channel) instead of RGB (3 channels).
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
    # Learning treats every reward as termination, for games of points: each is played for its own sake, and with a
    # discount near 1 as surely as possible instead of as soon; the game goes on. Where every step has a reward nothing
    # later would count. (Karpathy 2016, "Pong from pixels".)
    episodic_points: bool = False
    # Learning sees rewards clipped to [-1, 1]; every reported return is of unclipped rewards.
    clip_rewards: bool = True
    # A game is truncated after this many emulator frames; an episode of a world that sets no limit itself after as many
    # steps: an agent that goes in circles must not be evaluated for ever.
    max_episode_frames: int = MAX_EPISODE_FRAMES

    def __post_init__(self) -> None:
        kind, colon, source = self.observe.partition(":")
        if self.observe not in ("pixels", "objects") and not (kind in KINDS_OF_EYES and colon and source):
            known = ", ".join(["pixels", "objects", *(f"{name}:RUN" for name in KINDS_OF_EYES)])
            raise ValueError(f"world.observe must be one of {known}, not {self.observe!r}")
        if self.sticky is not None and not 0.0 <= self.sticky < 1.0:
            raise ValueError(f"world.sticky must lie in [0, 1), not {self.sticky}")
        for field in ("frame_skip", "image_size", "frame_stack", "max_episode_frames"):
            if getattr(self, field) < 1:
                raise ValueError(f"world.{field} must be at least 1, not {getattr(self, field)}")
        if self.noop_max < 0:
            raise ValueError(f"world.noop_max must be at least 0, not {self.noop_max}")


def sticky_of(env_id: str, config: EnvConfig) -> float:
    """Sticky-action probability in force for an ALE id."""
    if config.sticky is not None:
        return config.sticky
    return float(names.spec(env_id).kwargs.get("repeat_action_probability", 0.25))


def fire_reset_of(env_id: str, config: EnvConfig) -> bool:
    """Whether FIRE is pressed at the start of a game of this ALE id."""
    if config.fire_reset is not None:
        return config.fire_reset
    return not env_id.rpartition(":")[2].startswith("ALE/")


def eyes_of(config: EnvConfig) -> Eyes | None:
    """Whose eyes an agent sees through; None for the frame itself and for the truth.

    Raises: UnusableEnvError where nobody has put them into EYES; what the maker of the eyes raises.
    """
    kind, _, source = config.observe.partition(":")
    if not source:
        return None
    if kind not in EYES:
        raise UnusableEnvError(f"observe {config.observe!r}: models look only in the commands of agents/")
    return EYES[kind](source)


def is_capped(env_id: str) -> bool:
    """Whether `max_episode_frames` ends the episodes of this id; else its own limit does."""
    return names.is_atari(env_id) or names.spec(env_id).max_episode_steps is None


def make_vec(
    name: str,
    num_envs: int,
    config: EnvConfig = EnvConfig(),
    *,
    seed: int | None = None,
    autoreset: Literal["next_step", "same_step"] = "next_step",
    threads: int = 1,
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` copies of a world, stepped together. ALE games run in ale-py's C++ vector env with `threads` threads.

    seed: makes what comes after the next `reset()` without a seed repeatable, and the actions that are sampled.
    Observations: (N, S*C, H, W) uint8 for pixels, (N, D) float32 for everything else. Rewards: (N,) unclipped.
    Raises: UnknownEnvError, UnusableEnvError, NoTruthError (objects of a world that `envs/ground_truth` cannot read),
    BlindError (eyes that are of no use there).
    """
    env_id = names.resolve(name)
    mode = AutoresetMode.NEXT_STEP if autoreset == "next_step" else AutoresetMode.SAME_STEP
    if names.is_atari(env_id) and config.observe == "pixels":
        vec = _make_atari_vec(env_id, num_envs, config, mode, threads)
    else:
        eyes = eyes_of(config)
        wrappers: list[Any] = [lambda env: _view(env, config, eyes)]
        arguments = _emulator(name, env_id, config) if names.is_atari(env_id) else {}
        try:
            vec = gym.make_vec(
                env_id,
                num_envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": mode},
                wrappers=wrappers,
                **arguments,
            )
        except names.UnknownEnvError:
            raise
        except Exception as error:  # its constructor may raise anything; a package may be missing
            raise UnusableEnvError(f"env {name!r} cannot be made: {type(error).__name__}: {error}") from error
    assert vec.metadata["autoreset_mode"] == mode, vec.metadata
    if seed is not None:
        vec.action_space.seed(seed)
        vec.reset(seed=seed)
    return vec


def make_env(
    name: str,
    config: EnvConfig = EnvConfig(),
    inner: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] = lambda env: env,
) -> gym.Env[Any, Any]:
    """One copy through Gymnasium's own wrappers, with the same observations as `make_vec`.

    `render()` gives RGB where `render_mode` is "rgb_array": everywhere but in worlds that do not say they can.
    inner: a wrapper of the world itself, which sees every frame, below all that skips, pools or scales frames.
    Raises: UnknownEnvError, NoTruthError.
    """
    env_id, eyes = names.resolve(name), eyes_of(config)
    if not names.is_atari(env_id):
        entry_point = names.spec(env_id).entry_point
        creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        renders = "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ())
        drawn: dict[str, Any] = {"render_mode": "rgb_array"} if renders else {}
        return _view(inner(gym.make(env_id, **drawn)), config, eyes)
    env = inner(gym.make(env_id, render_mode="rgb_array", **_emulator(name, env_id, config)))
    if config.observe != "pixels":
        return _view(env, config, eyes)
    preprocessing = w.AtariPreprocessing if config.max_pool else _WithoutMaxPool
    env = preprocessing(
        env,
        noop_max=config.noop_max,
        frame_skip=config.frame_skip,
        screen_size=config.image_size,
        grayscale_obs=config.grayscale,
    )
    return _stacked(env, config)


def _emulator(name: str, env_id: str, config: EnvConfig) -> dict[str, Any]:
    """Arguments of ale-py's Gymnasium world, which then runs frame by frame."""
    if fire_reset_of(env_id, config):
        raise UnusableEnvError(f"{name!r} cannot begin its games with FIRE here: add --world.fire-reset False")
    unseen = {"obs_type": "ram"} if config.observe != "pixels" else {}  # nobody looks at the picture: none is made
    return unseen | {
        "frameskip": 1,
        "repeat_action_probability": sticky_of(env_id, config),
        "full_action_space": config.full_action_space,
        "max_num_frames_per_episode": config.max_episode_frames,
    }


def _view(env: gym.Env[Any, Any], config: EnvConfig, eyes: Eyes | None) -> gym.Env[Any, Any]:
    """A world as its objects, (D,) float32, or in the standard view; only emulators skip frames, begin with no-ops."""
    spec = env.spec
    assert spec is not None
    if not names.is_atari(spec.id) and spec.max_episode_steps is None:
        env = w.TimeLimit(env, config.max_episode_frames)
    if config.observe == "pixels":
        return standard_view(env, config)
    if names.is_atari(spec.id):
        return ObjectObservation(env, config.frame_skip, config.noop_max, eyes)
    return ObjectObservation(env, eyes=eyes)


class _WithoutMaxPool(w.AtariPreprocessing):
    """Gymnasium's preprocessing, but a step shows its last frame alone, not the maximum of its last two."""

    def _get_obs(self) -> Any:
        self.obs_buffer[1].fill(0)
        return super()._get_obs()


class _WithPromisedShape(gym.ObservationWrapper[Any, Any, Any]):
    """Refuses an observation of another shape than promised, before scaling or flattening hides it."""

    def observation(self, observation: Any) -> Any:
        promised = self.observation_space.shape
        found = observation.shape if isinstance(observation, np.ndarray) else np.shape(observation)
        if found != promised:
            raise ValueError(f"an observation has shape {found}, promised {promised}")
        return observation


def standard_view(env: gym.Env[Any, Any], config: EnvConfig) -> gym.Env[Any, Any]:
    """A non-Atari world as pixels (S*C, H, W) uint8 or as a vector (D,) float32, by its observation space.

    Parts of an observation that are no numbers (MiniGrid's mission, in words) are left out. Discrete actions count from
    0, wherever the world's own begin.
    """
    if isinstance(env.action_space, spaces.Discrete) and env.action_space.start != 0:
        start, actions = int(env.action_space.start), spaces.Discrete(int(env.action_space.n))
        env = w.TransformAction(env, lambda action: action + start, actions)
    space = env.observation_space
    if isinstance(space, spaces.Box):
        env = _WithPromisedShape(env)
    if _is_picture(space):
        if config.grayscale and space.shape[-1] == 3:
            env = w.GrayscaleObservation(env)
        env = w.ResizeObservation(env, (config.image_size, config.image_size))
        return _stacked(env, config)
    if isinstance(space, spaces.Dict):
        env = w.FilterObservation(env, [key for key, part in space.items() if _has_numbers(part)])
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        env = w.FlattenObservation(env)
    if not isinstance(env.observation_space, spaces.Box):
        raise ValueError(f"env {env.spec.id if env.spec else env}: observations {space} cannot be made a vector")
    if env.observation_space.dtype != np.float32:
        flat = env.observation_space
        with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
            box = spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)
        env = w.TransformObservation(env, lambda obs: np.asarray(obs, dtype=np.float32), box)
    return env


def _has_numbers(space: spaces.Space[Any]) -> bool:
    """Whether Gymnasium can flatten a part of an observation; it cannot where a world has its own kind, as of text."""
    try:
        spaces.utils.flatten_space(space)
    except NotImplementedError:
        return False
    return True


def _is_picture(space: spaces.Space[Any]) -> TypeGuard[spaces.Box]:
    if not (isinstance(space, spaces.Box) and space.dtype == np.uint8):
        return False
    grey_or_channels_last = len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[-1] in (1, 3))
    return grey_or_channels_last and min(space.shape[:2]) >= SMALLEST_PICTURE


def _stacked(env: gym.Env[Any, Any], config: EnvConfig) -> gym.Env[Any, Any]:
    env = w.FrameStackObservation(env, config.frame_stack, padding_type="zero")
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) == 3:  # (S, H, W): grey already
        return env
    space = spaces.Box(0, 255, channels_first(np.zeros(shape, np.uint8)).shape, np.uint8)
    return w.TransformObservation(env, channels_first, space)


def channels_first(stack: np.ndarray) -> np.ndarray:
    """(..., S, H, W, C) -> (..., S*C, H, W)."""
    *lead, s, h, width, c = stack.shape
    return np.moveaxis(stack, -1, -3).reshape(*lead, s * c, h, width)


def _make_atari_vec(
    env_id: str, num_envs: int, config: EnvConfig, mode: AutoresetMode, threads: int
) -> VectorEnv[Any, Any, Any]:
    vec: VectorEnv[Any, Any, Any] = ale_py.vector_env.AtariVectorEnv(
        game=names.spec(env_id).kwargs["game"],
        num_envs=num_envs,
        num_threads=min(threads, num_envs),
        max_num_frames_per_episode=config.max_episode_frames,
        repeat_action_probability=sticky_of(env_id, config),
        full_action_space=config.full_action_space,
        autoreset_mode=mode,
        img_height=config.image_size,
        img_width=config.image_size,
        grayscale=config.grayscale,
        stack_num=config.frame_stack,
        frameskip=config.frame_skip,
        maxpool=config.max_pool,
        noop_max=config.noop_max,
        reward_clipping=False,
        use_fire_reset=fire_reset_of(env_id, config),
    )
    vec.metadata = dict(vec.metadata)  # ale-py writes the mode into a dictionary that all its vector envs share
    if not config.grayscale:
        single = vec.single_observation_space.shape
        assert single is not None
        space = spaces.Box(0, 255, channels_first(np.zeros(single, np.uint8)).shape, np.uint8)
        vec = vw.TransformObservation(vec, channels_first, single_observation_space=space)
    return vec

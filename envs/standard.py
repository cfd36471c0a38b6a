"""Standard view of an environment, by its observation space: stacks of pixels, or a vector of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w

from envs.config import EnvConfig
from envs.pictures import ImageFormat, image_format, scaled


class _CheckedShape(gym.ObservationWrapper[Any, Any, Any]):
    """Rejects an observation whose shape differs from the space, before scaling or flattening hides it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._expected = env.observation_space.shape  # asked for once: wrappers pass the question on, one by one

    def observation(self, observation: Any) -> Any:
        shape = observation.shape if isinstance(observation, np.ndarray) else np.shape(observation)
        if shape != self._expected:
            raise ValueError(f"an observation has shape {shape}, its space {self._expected}")
        return observation


class _CheckedCodes(gym.ObservationWrapper[Any, Any, Any]):
    """Rejects indices outside their space: flattened they would stand for another index, the last or a neighbor's."""

    def observation(self, observation: Any) -> Any:
        _refuse_unknown_codes(self.env.observation_space, observation)
        return observation


def _refuse_unknown_codes(space: spaces.Space[Any], observation: Any) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for key, part in space.items() if isinstance(space, spaces.Dict) else enumerate(space):
            _refuse_unknown_codes(part, observation[key])
    elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        given, counts = np.asarray(observation), np.asarray(_counts(space))
        codes = given - space.start
        if given.dtype.kind not in "biu" or codes.size != counts.size or not ((codes >= 0) & (codes < counts)).all():
            raise ValueError(f"an observation holds {observation}, its space is {space}")


def _counts(space: spaces.Discrete | spaces.MultiDiscrete) -> Any:
    return space.n if isinstance(space, spaces.Discrete) else space.nvec


class StandardView(gym.Wrapper[Any, Any, Any, Any]):
    """An environment in its standard view. reading: what its observation is read as, in words."""

    def __init__(self, env: gym.Env[Any, Any], reading: str) -> None:
        super().__init__(env)
        self.reading = reading


def standard_view(env: gym.Env[Any, Any], config: EnvConfig) -> StandardView:
    """Wrap a non-Atari environment to show pixels (S*C, H, W) uint8 or a vector (D,) float32, by its observation space.

    Images (`envs/pictures.py`) become pixels, all else a vector. Parts of an observation without numbers (MiniGrid's
    mission, in words) are left out; so are numbers beside a single large image, lost among its pixels.
    Raises: ValueError where there are no numbers.
    """
    return StandardView(*_view(env, config))


def _view(env: gym.Env[Any, Any], config: EnvConfig) -> tuple[gym.Env[Any, Any], str]:
    """Return the standard view of the observations, and in words what they are read as."""
    space = env.observation_space
    if not _has_numbers(space):
        raise ValueError(f"its observations {space} hold no numbers")
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _view_of_parts(env, config)
    if isinstance(space, spaces.Box):
        env = _CheckedShape(env)
    image = image_format(space)
    return _vector_view(env) if image is None else _image_view(env, image, config)


def _image_view(env: gym.Env[Any, Any], image: ImageFormat, config: EnvConfig) -> tuple[gym.Env[Any, Any], str]:
    env, done = image.in_bytes(env), ["in its own size"]
    if not image.small:
        gray = config.grayscale and image.channels == 3
        env = scaled(w.GrayscaleObservation(env) if gray else env, config.image_size)
        done = ["in gray"] * gray + [f"scaled to {config.image_size}x{config.image_size}"]
    if image.top != 255:
        done.append(f"0 to {image.top:g} as bytes")
    return stacked(env, config), f"{image}, {', '.join(done)}, {config.frame_stack} in a stack"


def _view_of_parts(env: gym.Env[Any, Any], config: EnvConfig) -> tuple[gym.Env[Any, Any], str]:
    """Read the one part that holds numbers, or the one large image; otherwise flatten all parts to a vector.

    So MiniGrid's small codes stay beside the direction, and a table of cells beside what one holds.
    """
    space = env.observation_space
    assert isinstance(space, spaces.Dict | spaces.Tuple)
    pairs = space.items() if isinstance(space, spaces.Dict) else enumerate(space)
    parts: dict[Any, spaces.Space[Any]] = dict(pairs)
    used = [key for key, part in parts.items() if _has_numbers(part)]
    images = {key: image for key in used if (image := image_format(parts[key])) is not None}
    large = [key for key, image in images.items() if not image.small]
    only = used[0] if len(used) == 1 else large[0] if len(large) == 1 else None
    if only is None:
        used = [key for key in used if _flattens(parts[key])]
        view, reading = _vector_view(w.FilterObservation(env, used))
        reading += f" ({', '.join(map(str, used))})"
    else:
        used = [only]
        view, reading = _view(w.TransformObservation(env, lambda obs: obs[only], parts[only]), config)
        reading = f"{only}: {reading}"
    left_out = [str(key) for key in parts if key not in used]
    return view, reading + f"; left out: {', '.join(left_out)}" * bool(left_out)


def _vector_view(env: gym.Env[Any, Any]) -> tuple[gym.Env[Any, Any], str]:
    space = env.observation_space
    plain = isinstance(space, spaces.Box) and len(space.shape) == 1
    if any(isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete) for leaf in _leaves(space)):
        env = _CheckedCodes(env)
    if not plain:
        env = w.FlattenObservation(env)
    # Gymnasium flattens a OneOf, to numbers that mean another thing in each step.
    if not isinstance(env.observation_space, spaces.Box) or any(isinstance(s, spaces.OneOf) for s in _leaves(space)):
        raise ValueError(
            f"env {env.spec.id if env.spec else env}: observations {space} cannot be flattened to a vector"
        )
    flat = env.observation_space
    if flat.dtype != np.float32:
        with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
            box = spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)
        env = w.TransformObservation(env, lambda obs: np.asarray(obs, dtype=np.float32), box)
    reading = f"a vector of {flat.shape[0]} numbers"
    if isinstance(space, spaces.Box) and len(space.shape) > 1:
        reading += f", flattened from {space.shape} {space.dtype}, no picture by its shape or its bounds"
    return env, reading


def _has_numbers(space: spaces.Space[Any]) -> bool:
    """Return whether there is a number in (a part of) an observation that can be read: not in a mission."""
    return any(map(_flattens, _leaves(space)))


def _leaves(space: spaces.Space[Any]) -> Iterator[spaces.Space[Any]]:
    """Yield the parts of a space that have no parts."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.values() if isinstance(space, spaces.Dict) else space:
            yield from _leaves(part)
    else:
        yield space


def _flattens(space: spaces.Space[Any]) -> bool:
    """Return whether a part of an observation can be flattened to numbers: not text, custom spaces, nor (0,)."""
    if any(isinstance(leaf, spaces.Text) for leaf in _leaves(space)):  # Gymnasium would number its letters
        return False
    try:
        flat = spaces.utils.flatten_space(space)
    except (NotImplementedError, ValueError):  # of a custom space, of an empty dictionary
        return False
    return not isinstance(flat, spaces.Box) or flat.shape[0] > 0


def stacked(env: gym.Env[Any, Any], config: EnvConfig) -> gym.Env[Any, Any]:
    """Stack the last frames of an environment of images: (S*C, H, W), oldest first, zeros before the first."""
    env = w.FrameStackObservation(env, config.frame_stack, padding_type="zero")
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) == 3:  # (S, H, W): gray already
        return env
    space = spaces.Box(0, 255, channels_first(np.zeros(shape, np.uint8)).shape, np.uint8)
    return w.TransformObservation(env, channels_first, space)


def channels_first(stack: np.ndarray) -> np.ndarray:
    """Move channels into the stack: (..., S, H, W, C) -> (..., S*C, H, W)."""
    *lead, s, h, width, c = stack.shape
    return np.moveaxis(stack, -1, -3).reshape(*lead, s * c, h, width)

"""What counts as an image: shapes, types and bounds, each decided on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import odd_envs
import pytest
from gymnasium import spaces

from envs.factory import make_env
from envs.pictures import ImageFormat, image_format

pytestmark = pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # of Gymnasium's own checker


def box(*shape: int, dtype: Any = np.uint8, high: float = 255, low: float = 0) -> spaces.Box:
    return spaces.Box(low, high, shape, dtype)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        # height, width, channels, channels first
        ((210, 160, 3), (210, 160, 3, False)),
        ((84, 84, 4), (84, 84, 4, False)),
        ((4, 84, 84), (84, 84, 4, True)),
        ((1, 84, 84), (84, 84, 1, True)),
        ((3, 40, 50), (40, 50, 3, True)),
        ((40, 50, 3), (40, 50, 3, False)),
        ((40, 50), (40, 50, 1, False)),
        ((12, 30, 14), (30, 14, 12, True)),  # the shorter end, where no two axes are equal
        ((10, 10, 16), (10, 10, 16, False)),  # two equal neighbors are the sides, however many channels there are
        ((16, 10, 10), (10, 10, 16, True)),
        ((10, 10, 10), (10, 10, 10, False)),  # Gymnasium's convention
        ((12, 20, 12), (12, 20, 12, False)),
        ((8, 8), (8, 8, 1, False)),
    ],
)
def test_the_channels_of_a_picture_are_found_by_its_shape(shape: tuple[int, ...], expected: tuple[Any, ...]) -> None:
    picture = image_format(box(*shape))
    assert picture is not None
    assert (picture.height, picture.width, picture.channels, picture.first) == expected


@pytest.mark.parametrize(
    "space",
    [
        box(3, 64, 3),  # channels at either end leave a side of 3
        box(64, 3, 64),
        box(7, 7, 3),  # MiniGrid's codes
        box(7, 40),
        box(128),
        box(4, 84, 84, 3),
        box(0, 40, 3),
        box(10, 10, dtype=np.float32, high=1),  # a table
        box(40, 40, 3, dtype=np.float32, high=2),
        box(40, 40, 3, dtype=np.float32, high=1, low=-1),
        box(40, 40, 3, dtype=np.float32, high=np.inf, low=-np.inf),
        box(40, 40, 3, dtype=np.int64, high=9),
        box(10, 10, 3, high=0),
        spaces.MultiBinary((10, 10, 3)),
        spaces.Discrete(3),
    ],
    ids=str,
)
def test_other_observations_are_no_pictures(space: spaces.Space[Any]) -> None:
    assert image_format(space) is None


@pytest.mark.parametrize(
    ("space", "top"),
    [
        (box(10, 10, 4, dtype=np.bool_, high=1), 1),
        (box(10, 10, 4, dtype=np.float32, high=1), 1),
        (box(40, 40, dtype=np.float64, high=1), 1),
        (box(40, 40, 3, dtype=np.float32, high=255), 255),
        (box(40, 40, 3, high=7), 255),  # bytes of a frame are left as they are
        (box(10, 10, 3, high=10), 10),  # of a grid they may be codes
    ],
    ids=str,
)
def test_full_brightness_is_the_largest_number_of_the_space(space: spaces.Box, top: float) -> None:
    picture = image_format(space)
    assert picture is not None and picture.top == top
    space.seed(0)
    observation = space.sample()
    shown = picture.to_bytes(observation)
    assert shown.dtype == np.uint8
    np.testing.assert_allclose(shown / 255, observation.astype(float) / top, atol=0.5 / 255)


@pytest.mark.parametrize("shape", [(40, 40, 3), (3, 40, 40), (40, 40)])
def test_floats_in_a_space_of_bytes_are_refused_and_other_integers_are_bytes_within_their_bounds(
    shape: tuple[int, ...],
) -> None:
    image = np.full(shape, 0.5, np.float32)
    with odd_envs.registered(space=box(*shape), observes=lambda steps: image) as name:
        env = make_env(name)
        with pytest.raises(ValueError, match="an observation holds float32, its space uint8: give bytes"):
            env.reset()
        image = np.full(shape, 200)
        assert env.reset()[0].max() == 200
        image[1, 2] = 300
        with pytest.raises(ValueError, match="an observation holds 200 to 300, its space 0 to 255"):
            env.reset()


@pytest.mark.parametrize("top", [1, 255])
def test_a_rounding_error_beyond_the_bounds_is_no_error(top: int) -> None:
    picture = image_format(box(40, 40, dtype=np.float32, high=top))
    assert picture is not None
    image = np.zeros((40, 40), np.float32)
    image[0, :2] = top * 1.000001, -1e-6
    assert picture.to_bytes(image)[0, :2].tolist() == [255, 0]


def test_an_observation_outside_its_space_is_refused_before_it_wraps_around() -> None:
    picture = image_format(box(10, 10, 4, dtype=np.float32, high=1))
    assert isinstance(picture, ImageFormat)
    for wrong in (1.5, -0.5, np.nan):
        observation = np.zeros((10, 10, 4), np.float32)
        observation[3, 3, 1] = wrong
        with pytest.raises(ValueError, match=r"an observation holds .*, its space 0 to 1"):
            picture.to_bytes(observation)

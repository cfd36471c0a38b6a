"""Environments that are rendered instead of emulated: missing images, colors, shapes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from envs.ground_truth.rendering import EDGE, NoImageError, color_indices, dilated, polygon, rendered_image
from envs.ground_truth.wrappers import GroundTruthInfo

# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")


@pytest.mark.parametrize("env_id", ["CartPole-v1", "LunarLander-v3"])
def test_an_environment_made_without_images_names_the_way_to_make_it(env_id: str) -> None:
    with pytest.raises(
        NoImageError, match=rf'{env_id} renders no image: make it with gym.make\("{env_id}", render_mode='
    ):
        GroundTruthInfo(gym.make(env_id))
    env = GroundTruthInfo(gym.make(env_id), prove=False)  # slots need no image
    env.reset(seed=0)
    with pytest.raises(NoImageError, match="renders no image"):
        env.reader.scene(env)
    env.close()


def test_an_environment_that_renders_other_modes_is_refused_too() -> None:
    env = gym.make("CartPole-v1", render_mode=None)
    with pytest.raises(NoImageError):
        rendered_image(env)


def test_pixels_are_indexed_by_color_and_mixed_ones_are_edges() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255], [127, 127, 127], [1, 2, 3]]], np.uint8)
    assert color_indices(image, ((255, 255, 255), (1, 2, 3), (0, 0, 0))).tolist() == [[2, 0, EDGE, 1]]


def test_a_mask_is_dilated_in_all_eight_directions() -> None:
    mask = np.zeros((4, 5), bool)
    mask[0, 0] = mask[3, 3] = True
    expected = np.zeros((4, 5), bool)
    expected[:2, :2] = expected[2:, 2:] = True
    np.testing.assert_array_equal(dilated(mask), expected)


def test_the_pixels_of_a_polygon_may_differ_by_its_edge_only() -> None:
    claim = polygon("square", 3, [(10, 20), (16, 20), (16, 26), (10, 26)])
    x, y, width, height = claim.window
    assert claim.shape is not None and claim.shape.shape == (height, width)
    assert claim.colors == (3, EDGE)
    rows, columns = np.nonzero(claim.shape)
    assert (x + columns.min(), x + columns.max(), y + rows.min(), y + rows.max()) == (9, 17, 19, 27)
    assert int(claim.shape.sum()) == 9 * 9 and claim.missing == 9 * 9 - 5 * 5

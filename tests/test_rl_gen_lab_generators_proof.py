"""The proof that a picture could be a frame: real ones pass, each kind of mistake is found."""

from __future__ import annotations

import pytest
import torch
import vision_data

from rl_gen_lab.generators.palette import Palette, colors_of
from rl_gen_lab.generators.proof import FrameProof, make_proof

GROUND, BALL = (144, 72, 17), (236, 236, 236)


def proof() -> FrameProof:
    train = vision_data.dataset().splits["train"]
    found = make_proof(train, Palette(colors_of(train.images)), vision_data.dataset().categories)
    assert found is not None
    return found


def empty_frame() -> torch.Tensor:
    """A frame without objects: ground below a wall of three lines."""
    image = torch.tensor(GROUND, dtype=torch.uint8)[:, None, None].repeat(1, vision_data.H, vision_data.W)
    image[:, :3] = 236
    return image


def with_ball(image: torch.Tensor, x: int, y: int, width: int = 2, height: int = 4) -> torch.Tensor:
    image = image.clone()
    image[:, y : y + height, x : x + width] = torch.tensor(BALL, dtype=torch.uint8)[:, None, None]
    return image


def test_real_frames_are_accepted_with_their_objects() -> None:
    split = vision_data.dataset().splits["train"]
    verdict = proof().judge(split.images)
    assert verdict.valid_share == 1.0 and not verdict.problems
    assert verdict.objects == {"ball": 0.75, "paddle": 1.0}


def test_a_ball_may_be_where_none_was_seen() -> None:
    problem, objects = proof().examine(with_ball(empty_frame(), 9, 20))
    assert problem is None and sum(objects.values()) == 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (with_ball(empty_frame(), 9, 20, width=3), "a part of 4 x 3 pixels that no object has"),
        (with_ball(empty_frame(), 9, 20, height=3), "a part of 3 x 2 pixels that no object has"),
        (with_ball(with_ball(empty_frame(), 9, 20), 20, 30), "too many of ball"),
        (with_ball(empty_frame(), 9, 20).index_fill(1, torch.tensor([39]), 99), "a part of 1 x 32 pixels"),
    ],
    ids=["wide", "short", "two", "color"],
)
def test_each_mistake_is_found(image: torch.Tensor, message: str) -> None:
    problem, _ = proof().examine(image)
    assert problem is not None and message in problem


def test_objects_of_few_columns_belong_to_them() -> None:
    found = proof()
    ball = vision_data.dataset().categories.index("ball")
    found.columns[ball] = {4, 9}
    assert found.examine(with_ball(empty_frame(), 9, 20))[0] is None
    assert found.examine(with_ball(empty_frame(), 10, 20))[0] is not None

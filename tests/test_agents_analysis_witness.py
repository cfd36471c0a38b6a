"""Games with their truth: what the agent sees stays as it is, and one object can stand elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from agents.analysis.witness import Witness
from agents.training.environments import make_env
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError

STEPS = 60


def actions() -> list[int]:
    return np.random.default_rng(0).integers(6, size=STEPS).tolist()


def played(drawing: bool) -> tuple[list[np.ndarray], Witness]:
    witness = Witness("ALE/Pong-v5", EnvConfig())
    witness.recorder.drawing = drawing
    seen = [witness.reset(5)]
    seen += [witness.step(action)[0] for action in actions()]
    return seen, witness


def test_the_frames_are_those_of_the_game_without_a_witness_even_while_objects_are_moved() -> None:
    env = make_env("ALE/Pong-v5", EnvConfig())
    obs, _ = env.reset(seed=5)
    expected = [np.asarray(obs)] + [np.asarray(env.step(action)[0]) for action in actions()]
    env.close()
    for drawing in (False, True):
        seen, witness = played(drawing)
        witness.close()
        assert all(np.array_equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_masks_lie_on_what_differs_from_the_field() -> None:
    seen, witness = played(False)
    masks = witness.stacked_masks()
    witness.close()
    field = seen[-1][:, 15:76]  # between the walls
    (ground,) = (value for value, _ in Counter(field.ravel().tolist()).most_common(1))
    objects = np.logical_or.reduce(list(masks.values()))[:, 15:76]
    assert {"ball", "player", "enemy"} == set(masks)
    np.testing.assert_array_equal(field != ground, objects & (field != ground))  # nothing stands outside of them
    assert objects.sum() < 0.03 * objects.size and masks["player"].any()


def test_one_object_is_moved_and_the_others_stay() -> None:
    seen, witness = played(True)
    moved = witness.drawn()
    witness.close()
    still = moved["", 0.0]
    assert still.shape == seen[-2].shape == (4, 84, 84)
    assert (still != seen[-2]).mean() < 0.01  # a frame later
    for (category, distance), frames in moved.items():
        if category != "player":
            continue
        (rows, columns) = np.nonzero((frames != still).any(0))
        assert distance and len(rows) and columns.min() >= 70  # the right paddle alone
    assert {name for name, _ in moved} >= {"", "player"}


def test_frames_that_were_not_drawn_are_not_there() -> None:
    _, witness = played(False)
    assert witness.drawn() == {}
    witness.close()


@pytest.mark.parametrize(
    ("env", "world", "said"),
    [
        ("ALE/Seaquest-v5", EnvConfig(), "no ground truth for ALE/Seaquest-v5"),
        ("ALE/Pong-v5", replace(EnvConfig(), grayscale=False), "gray frames of Atari games"),
        ("CartPole-v1", EnvConfig(), "gray frames of Atari games"),
    ],
)
def test_games_whose_truth_is_not_known_are_refused_in_a_line(env: str, world: EnvConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        Witness(env, world)
    assert "\n" not in str(refused.value)

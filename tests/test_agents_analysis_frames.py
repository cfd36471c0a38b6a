"""Frames are chosen by a rule, and a second playing of the same games is the same."""

from __future__ import annotations

import numpy as np
from packed_agents import pong, pong_frames

from agents.analysis.frames import SPACING, chosen_steps, mean_frame


def test_half_the_frames_are_the_most_important_and_never_neighbors() -> None:
    importance = [np.zeros(100), np.zeros(100)]
    importance[0][50], importance[0][51], importance[1][20] = 3.0, 2.9, 2.0
    chosen = chosen_steps(importance, 6, 5)
    assert len(chosen) == 6 and {(0, 50), (1, 20)} <= chosen
    important = chosen_steps(importance, 40, 5)
    assert (0, 51) not in chosen_steps(importance, 2, 5)
    assert len(important) == 40


def test_the_first_and_the_last_steps_are_left_out_and_few_steps_give_few_frames() -> None:
    chosen = chosen_steps([np.arange(12.0)], 100, 5)
    assert {step for _, step in chosen} == set(range(5, 11))
    assert SPACING > 1


def test_kept_frames_are_those_of_the_policy_with_the_truth_of_the_frame() -> None:
    kept = pong_frames()
    assert len(kept) >= 8
    for one in kept:
        values = pong().policy.values
        assert values is not None
        np.testing.assert_allclose(values(one.seen.obs[None])[0], one.seen.scores, atol=1e-5)
        assert one.seen.action == int(one.seen.scores.argmax())
        assert one.seen.masks["player"].shape == one.seen.obs.shape == (4, 84, 84)
    places = [(one.seen.episode, one.seen.step) for one in kept]
    assert places == sorted(places) and any(one.moved for one in kept)


def test_the_mean_frame_shows_the_field_and_no_ball() -> None:
    mean = mean_frame(pong().env, pong().world, pong().policy, 0)
    assert mean.shape == (4, 84, 84) and np.array_equal(mean[0], mean[3])
    assert abs(float(np.median(mean)) - 87.0) < 1.0

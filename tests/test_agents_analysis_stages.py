"""Stages of one agent on the same frames: each is asked about its own action; what sees other frames is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from packed_agents import pong, pong_frames, pong_gap

from agents.analysis import stages
from agents.analysis.explain_config import Config
from agents.analysis.explanation import Explanation
from agents.analysis.game_scores import Player
from agents.rl.greedy_policy import greedy_policy
from agents.rl.interfaces import Policy
from agents.rl.q_networks import QNetwork
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain import drawing


def always(action: int) -> Policy:
    scores = np.eye(6, dtype=np.float32)[action]
    return Policy(lambda obs: np.full(len(obs), action), lambda obs: np.tile(scores, (len(obs), 1)))


def blind() -> stages.Stage:
    """A network that never learned."""
    torch.manual_seed(0)
    network = QNetwork("4x8s4-8", (4, 84, 84), 6, False).eval().requires_grad_(False)
    return stages.stage_of("random", "random.rlz", greedy_policy(network), "gap", pong_gap().baseline)


def test_each_stage_is_asked_about_the_action_that_it_would_take() -> None:
    kept = pong_frames()
    own = stages.asked(kept, always(4))
    assert [one.seen.action for one in own] == [4] * len(kept)
    assert all((a.seen.obs == b.seen.obs).all() and a.moved is b.moved for a, b in zip(kept, own, strict=True))
    assert stages.agreement(kept, own) == np.mean([one.seen.action == 4 for one in kept])
    assert stages.agreement(kept, stages.asked(kept, pong().policy)) == 1.0
    with pytest.raises(ConfigError, match="no scores of single actions"):
        stages.asked(kept, Policy(lambda obs: np.zeros(len(obs))))


@pytest.mark.slow
def test_rows_are_of_the_same_frames_and_differ_by_the_network_alone() -> None:
    kept = pong_frames()[:6]
    player = Player(pong().env, pong().world, pong().policy, 0.0, 0, 1)
    explanation = Explanation(Config(run="x.rlz", method="gradient-x-input"), pong_gap(), player)  # type: ignore[arg-type]
    same = stages.stage_of("pong", "pong.rlz", pong().policy, "gap", pong_gap().baseline)
    found = stages.rows(explanation, kept, [same, blind()])
    by = {(row["stage"], row["method"]): row for row in found}
    assert len(by) == len(found) == 8
    alone = explanation.rows(explanation.sample(kept))[0]
    own = by["pong", "gradient-x-input"]
    assert own == {key: alone.get(key, own[key]) for key in own}  # what is scored is scored as of one agent
    assert set(own) - set(alone) == {"stage", "source", "same_action"}
    other = by["random", "gradient-x-input"]
    assert own["same_action"] == 1.0 > other["same_action"]
    assert own["ball/over_twin"] > 1.5 > other["ball/over_twin"]  # what never learned is like its untrained twin
    for stage in ("pong", "random"):  # a control without a network is the same for every stage
        assert by[stage, "frame difference"]["ball/lift"] == by["pong", "frame difference"]["ball/lift"]


def test_the_picture_has_a_column_for_each_stage() -> None:
    player = Player(pong().env, pong().world, pong().policy, 0.0, 0, 1)
    explanation = Explanation(Config(run="x.rlz"), pong_gap(), player)  # type: ignore[arg-type]
    one = stages.stage_of("pong", "pong.rlz", pong().policy, "gap", pong_gap().baseline)
    narrow = stages.picture(explanation, pong_frames(), [one])
    wide = stages.picture(explanation, pong_frames(), [one, blind()])
    column = (narrow.width - drawing.GAP) // 2
    assert wide.height == narrow.height and wide.width == narrow.width + column
    left = np.asarray(wide)[:, : narrow.width - 8]
    assert (left == np.asarray(narrow)[:, : narrow.width - 8]).all()
    assert (np.asarray(wide)[30:, column : 2 * column] != np.asarray(wide)[30:, 2 * column : 3 * column]).any()


def test_a_stage_of_another_game_or_view_is_refused_by_what_differs() -> None:
    world = EnvConfig()
    stages.refuse_other_views("a", "ALE/Pong-v5", replace(world, episodic_points=True), "ALE/Pong-v5", world)
    with pytest.raises(ConfigError, match="the stage a plays ALE/Breakout-v5, the agent ALE/Pong-v5"):
        stages.refuse_other_views("a", "ALE/Breakout-v5", world, "ALE/Pong-v5", world)
    with pytest.raises(ConfigError, match=r"world\.frame_stack is 1 instead of 4"):
        stages.refuse_other_views("a", "ALE/Pong-v5", replace(world, frame_stack=1), "ALE/Pong-v5", world)


def test_a_stage_names_itself_where_it_cannot_be_asked() -> None:
    vector = greedy_policy(QNetwork("mlp", (4,), 2, False))
    with pytest.raises(ConfigError, match="the stage runs/a, step 5: this agent sees numbers"):
        stages.stage_of("step 5", "runs/a", vector, "gap", torch.zeros(4, 84, 84))


def test_stages_without_a_mean_frame_share_the_baseline_of_the_agent_that_plays() -> None:
    mean = torch.rand(4, 84, 84)
    torch.testing.assert_close(
        stages.stage_of("a", "a.rlz", pong().policy, "gap", mean).model.baseline,
        mean,
    )
    network = QNetwork("4x8s4-8", (4, 84, 84), 6, False)
    network.standardize(torch.randint(0, 255, (8, 1, 84, 84), dtype=torch.uint8))
    own = stages.stage_of("a", "a.rlz", greedy_policy(network), "gap", mean).model
    assert (own.baseline != mean).any()

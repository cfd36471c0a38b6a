"""A student as a task: its first network, its loss, its score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from compressed_agents import teacher_run

from agents.compression.objective import ActAsTeacher, scored
from agents.compression.policy_file import PackedPolicy
from agents.compression.teacher import Teacher
from agents.rl.q_networks import QNetwork
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.layers import coded_state
from rl_gen_lab.compression.packed_file import write
from rl_gen_lab.compression.recipe import Common

STUDENT = "2x8s4-2x4s2-4"


def objective(**settings: float) -> ActAsTeacher:
    common = Common(memory=32, batch_size=8, num_envs=2, first_steps=8, **settings)  # type: ignore[arg-type]
    return ActAsTeacher(Teacher.of(teacher_run()), common, 0, 2, 7)


@pytest.mark.parametrize("setting", ["memory", "num_envs", "batch_size", "first_steps"])
def test_a_recipe_that_does_not_fit_into_memory_is_refused_before(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, few = Teacher.of(teacher_run()), {"memory": 32, "batch_size": 8, "num_envs": 2, "first_steps": 8}
    monkeypatch.setattr("rl_gen_lab.compute.memory_budget.free_bytes", lambda device: 10**8)
    ActAsTeacher(teacher, Common(**few), 0, 2, 7)
    with pytest.raises(
        ConfigError, match=rf"^{setting} = 50,000 of the recipe takes .*: use {setting} = (\d+) or less$"
    ):
        ActAsTeacher(teacher, Common(**few | {setting: 50_000}), 0, 2, 7)


def test_a_student_has_one_grey_level_and_the_teachers_own_network_is_the_newest() -> None:
    task = objective()
    student = task.build(STUDENT)
    assert isinstance(student, QNetwork) and student.value is None
    mean = student.backbone.conv[0].mean  # type: ignore[union-attr,index]
    assert len(mean.unique()) == 1 and float(mean[0, 0, 0]) > 0
    own = task.build(None)
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    assert torch.equal(own(frames), task.teacher.network.newest(frames))  # type: ignore[operator,union-attr]
    assert own is not task.teacher.network.newest and all(p.requires_grad for p in own.parameters())


def test_the_teachers_own_network_has_nothing_to_learn_and_its_file_gives_action_values() -> None:
    teacher = Teacher.of(teacher_run(ensemble_size=1))
    task = ActAsTeacher(teacher, Common(memory=32, batch_size=8, num_envs=2, first_steps=8), 0, 2, 7)
    own = task.build(None)
    task.begin(own, 0, 0.0)
    loss = float(task.loss(own, 0.0).detach())
    task.close()
    assert loss == pytest.approx(0.0, abs=1e-6)
    header, named = task.header(None)
    packed = PackedPolicy.parse(write(header, coded_state(own), named=named))
    assert packed.policy.meaning == "Q-value"
    again = ActAsTeacher(teacher, task.common, 0, 2, 7, packed)
    begun = again.build(None)
    again.begin(begun, 0, 0.0)
    assert float(again.loss(begun, 0.0).detach()) < 0.01  # biases have 255 levels
    again.close()


def test_the_loss_falls_when_the_student_learns() -> None:
    task = objective()
    student = task.build(STUDENT)
    task.begin(student, 0, 0.0)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = task.loss(student, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    task.close()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])


def test_a_robust_student_is_also_taught_by_the_bound_which_grows_over_half_of_the_stage() -> None:
    network, losses = objective().build(STUDENT), {}
    for levels in (0.0, 3.0):
        for progress in (0.0, 0.25, 0.5, 1.0):
            task = objective(robust_levels=levels, robust_weight=0.5)
            task.begin(network, 0, 0.0)
            losses[levels, progress] = float(task.loss(network, progress).detach())
            task.close()
    assert losses[0.0, 0.0] == losses[0.0, 1.0] == losses[3.0, 0.0]  # off by default, and at the beginning
    assert losses[3.0, 0.0] < losses[3.0, 0.25] < losses[3.0, 0.5] == losses[3.0, 1.0]
    assert Common().robust_levels == 0


def test_a_robust_student_without_bounds_is_refused_before_anything_is_learned() -> None:
    with pytest.raises(ConfigError, match="no bounds here for"):
        objective(robust_levels=1.0).build("resnet")
    assert isinstance(objective(robust_levels=1.0).build(STUDENT), QNetwork)


def test_play_advances_with_the_updates() -> None:
    task = objective(updates_per_step=2)
    student = task.build(STUDENT)
    task.begin(student, 0, 0.0)
    assert task.play is not None
    before = task.play.runner.steps
    for _ in range(6):
        task.loss(student, 0.0)
    assert task.play.runner.steps - before == 2  # a step each two updates, the first two on what is there
    task.close()


def test_a_score_is_of_the_file_and_has_its_error() -> None:
    task = objective()
    student = task.build(STUDENT)
    header, named = task.header(STUDENT)
    data = write(header, coded_state(student), named=named)
    row = task.score(data)
    packed = PackedPolicy.parse(data)
    assert row == scored(packed.policy, packed.env, packed.world, packed.epsilon, 2, 7)
    assert row["episodes"] == 2 and float(row["score_low"]) <= float(row["score"])
    assert not named and "tensors" not in header and header["network"]["backbone"] == STUDENT


def test_the_bound_of_known_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.compression import objective as module
    from agents.training.evaluate import Evaluation

    monkeypatch.setattr(module, "evaluate", lambda *a, **k: Evaluation([18.0, 20.0, 16.0, 18.0], [10] * 4, {}))
    task = objective()
    row = scored(task.teacher.policy, "ALE/Pong-v5", task.teacher.world, 0.0, 4, 0)
    error = np.sqrt(8 / 3) / 2  # standard deviation with n - 1, by the root of four games
    assert row["score"] == 18.0 and row["score_error"] == pytest.approx(error, abs=1e-3)
    assert row["score_low"] == pytest.approx(18 - 2.353 * error, abs=1e-3)  # Student's t of 3 degrees of freedom
    monkeypatch.setattr(module, "evaluate", lambda *a, **k: Evaluation([18.0], [10], {}))
    row = scored(task.teacher.policy, "ALE/Pong-v5", task.teacher.world, 0.0, 1, 0)
    assert row["score_error"] == row["score_low"] == "" and task.in_words(row) == "score 18.00 over 1 game"


def test_a_packed_student_is_the_start_of_a_further_compression() -> None:
    task = objective()
    student = task.build(STUDENT)
    header, named = task.header(STUDENT)
    start = PackedPolicy.parse(write(header, coded_state(student), named=named))
    further = ActAsTeacher(task.teacher, task.common, 0, 2, 7, start)
    network = further.build(None)
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    torch.testing.assert_close(network(frames), start.network(frames))
    assert all(p.requires_grad for p in network.parameters())
    assert further.header(None) == (header, False)
    with pytest.raises(ConfigError, match="another task"):
        ActAsTeacher(replace(task.teacher, env="ALE/Breakout-v5"), task.common, 0, 2, 7, start)

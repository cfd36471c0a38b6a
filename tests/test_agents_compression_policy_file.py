"""Packed policies: the task in their header, networks of other kinds, and files that are no policy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_agents import teacher_run

from agents.compression.policy_file import PackedPolicy, header_of, names_itself
from agents.compression.teacher import Teacher
from agents.rl.q_networks import QNetwork
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression.layers import coded_state
from rl_gen_lab.compression.packed_file import write
from rl_gen_lab.compression.structured import apply_plan, prune_channels

HUGE = {"backbone": "8x8s4-9999x9s1-99999", "shape": [4, 84, 84], "actions": 6}
TASK = {"env": "ALE/Pong-v5", "hash": "0123456789ab"}


def file_of(network: QNetwork, backbone: str, dueling: bool = False, **changes: object) -> bytes:
    header = header_of(Teacher.of(teacher_run()), backbone, *["dueling"] * dueling) | changes
    return write(header, coded_state(network), named=not names_itself(backbone) or "plans" in changes)


def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, 4, 84, 84)).astype(np.uint8)


@pytest.mark.parametrize(("backbone", "dueling"), [("2x8s4-2x4s2-p-4", False), ("small", True), ("squeezenet", False)])
def test_a_policy_comes_back_with_its_task(tmp_path: Path, backbone: str, dueling: bool) -> None:
    network = QNetwork(backbone, (4, 84, 84), 6, dueling).eval()
    path = tmp_path / "policy.rlz"
    path.write_bytes(file_of(network, backbone, dueling))
    packed = PackedPolicy.read(path)
    assert packed.env == "ALE/Pong-v5" and packed.world == Teacher.of(teacher_run()).world
    assert packed.world.max_episode_frames == 80 and packed.size_bytes == path.stat().st_size
    with torch.no_grad():
        exact = network(torch.from_numpy(frames())).softmax(1).numpy()
    assert packed.policy.values is not None and packed.policy.meaning == "probability"
    found = packed.policy.values(frames())
    assert found.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    assert np.abs(found - exact).max() < 0.02  # biases have 255 levels
    assert (found.argmax(1) == exact.argmax(1)).mean() >= 0.75


def test_a_network_with_fewer_channels_is_built_by_its_plan() -> None:
    network = QNetwork("small", (4, 84, 84), 6, False).eval()
    plan = prune_channels(network, torch.from_numpy(frames()), 0.5)
    packed = PackedPolicy.parse(file_of(network, "small", plans=[["channels", plan]]))
    assert sum(p.numel() for p in packed.network.parameters()) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (None, "names no environment"),
        ({"env": "ALE/Pong-v5"}, "has no hash"),
        (TASK | {"env": "ALE/Pnog-v5"}, "Pong"),
        (TASK | {"env": "antigravity:Pong-v5"}, "of another module"),
        (TASK | {"world": 3}, "its world makes no sense"),
        (TASK | {"world": {"sticky": "x"}}, "sticky"),
        (TASK | {"world": {"frame_stack": 256, "image_size": 1_024}}, "frames of (4, 84, 84), but its world"),
        (TASK | {"world": {"grayscale": False}}, "frames of (4, 84, 84), but its world"),
        (TASK | {"world": {"observe": "objects"}}, "observes 'objects'"),
        (TASK | {"world": {"observe": "detector:/etc/passwd"}}, "observes 'detector:/etc/passwd'"),
        (TASK | {"world": {"full_action_space": True}}, "Discrete(6), but ALE/Pong-v5 as in its header has"),
        (TASK | {"env": "ALE/Breakout-v5"}, "Discrete(4)"),
        (TASK | {"env": "CartPole-v1"}, "(4,) float32 and Discrete(2)"),
        (TASK | {"epsilon": 2.0}, "epsilon"),
        (TASK | {"seed": 3}, "'seed' is not known"),
    ],
)
def test_a_header_without_a_task_is_refused(task: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)) as refused:
        PackedPolicy.parse(file_of(QNetwork("2x8s4-4", (4, 84, 84), 6, False), "2x8s4-4", task=task))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("plans", [3, [["paint", {}]], [["channels", {"nothing.out_channels": 3}]], [[1, 2, 3]]])
def test_plans_that_do_not_fit_are_refused(plans: object) -> None:
    with pytest.raises(CheckpointError):
        PackedPolicy.parse(file_of(QNetwork("2x8s4-4", (4, 84, 84), 6, False), "2x8s4-4", plans=plans))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"backbone.conv.0.out_channels": 8}, "cannot be built"),
        ({"advantage.out_features": 5}, "5 values for 6 actions"),
    ],
)
def test_plans_by_which_the_network_does_not_run_are_refused(plan: dict[str, int], message: str) -> None:
    network = QNetwork("small", (4, 84, 84), 6, False).eval()
    if "advantage.out_features" in plan:
        apply_plan(network, plan)
    with pytest.raises(CheckpointError, match=message):
        PackedPolicy.parse(file_of(network, "small", plans=[["channels", plan]]))


def test_a_huge_network_of_named_tensors_is_refused_at_once() -> None:
    header = header_of(Teacher.of(teacher_run()), "squeezenet") | {"network": HUGE}
    data = write(header, coded_state(QNetwork("squeezenet", (4, 84, 84), 6, False)), named=True)
    with pytest.raises(CheckpointError, match=r"would hold [\d,]+ numbers at once"):
        PackedPolicy.parse(data)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing.rlz: No such file"):
        PackedPolicy.read(tmp_path / "nothing.rlz")
    (tmp_path / "picture.rlz").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match=r"picture.rlz: this is no packed network"):
        PackedPolicy.read(tmp_path / "picture.rlz")


def test_only_what_differs_from_the_defaults_is_kept() -> None:
    teacher = Teacher.of(teacher_run())
    header = header_of(replace(teacher, world=type(teacher.world)(), epsilon=0.0), "small")
    assert set(header["task"]) == {"env", "hash"} and len(header["task"]["hash"]) == 12


def test_a_file_of_another_task_is_read_and_says_so() -> None:
    network = QNetwork("2x8s4-2x4s2-4", (4, 84, 84), 6, False).eval()
    own = PackedPolicy.parse(file_of(network, "2x8s4-2x4s2-4"))
    assert own.described == f"task {own.task_hash}: ALE/Pong-v5, by {own.size_bytes:,} bytes"
    other = PackedPolicy.parse(file_of(network, "2x8s4-2x4s2-4", task=TASK | {"world": {"sticky": 0.1}}))
    assert other.world.sticky == 0.1 and other.task_hash not in (own.task_hash, TASK["hash"])
    assert "the file says task 0123456789ab: made by other versions" in other.described

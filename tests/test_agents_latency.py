"""Engines of a packed policy: the same decisions, figures for each, refusals."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_agents import teacher_run

from agents import latency, ppo
from agents.compression import engines
from agents.compression.policy_file import PackedPolicy, header_of
from agents.compression.teacher import Teacher
from agents.rl.q_networks import QNetwork
from rl_gen_lab.compression.layers import coded_state
from rl_gen_lab.compression.packed_file import write

pytest.importorskip("onnxruntime", reason="an optional extra: pip install -e '.[onnx]'")
STUDENT = "4x8s4-4x4s2-8"
TINY_PPO = ["--env", "Pong", "--preset", "defaults", "--total-env-steps", "16", "--num-envs", "2"]
TINY_PPO += ["--rollout-steps", "8", "--minibatch-size", "8", "--lstm-units", "8", "--bptt-steps", "4", "--no-film"]
TINY_PPO += ["--eval.episodes", "1", "--eval.final-episodes", "1", "--world.max-episode-frames", "80"]
TINY_PPO += ["--wandb.mode", "disabled"]


def policy_file(folder: Path) -> Path:
    torch.manual_seed(0)
    network = QNetwork(STUDENT, (4, 84, 84), 6, False)
    file = folder / "policy.rlz"
    file.write_bytes(write(header_of(Teacher.of(teacher_run()), STUDENT), coded_state(network), named=False))
    return file


def test_all_engines_decide_alike(tmp_path: Path) -> None:
    packed = PackedPolicy.read(policy_file(tmp_path))
    frames = engines.frames_of_play(packed, 40, 0)
    assert frames.shape == (40, 4, 84, 84) and len(np.unique(frames.reshape(40, -1), axis=0)) > 4
    found = engines.engines_of(packed, tmp_path, frames)
    assert list(found) == ["torch", "numpy", "onnxruntime", "onnxruntime int8"]
    exact = found["torch"](frames)
    for name in ("numpy", "onnxruntime"):
        assert np.abs(found[name](frames) - exact).max() < 1e-3 * np.abs(exact).max() + 1e-5, name
    assert (found["onnxruntime int8"](frames).argmax(1) == exact.argmax(1)).mean() > 0.7
    assert (engines.policy_of(found["numpy"]).act(frames) == exact.argmax(1)).mean() > 0.95


def test_every_engine_has_a_row_beside_the_agent_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = policy_file(tmp_path)
    words = [str(file), "--beside", str(teacher_run()), "--rounds", "2", "--frames", "8", "--episodes", "1", "--layer"]
    latency.main([*words, "--results-dir", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "latency.csv").read_text().splitlines()))
    layer = {row["engine"]: int(row["bytes"]) for row in rows if row["file"] == engines.LAYER}
    assert layer == {"torch": 6_422_528, "numpy": 6_422_528, "numpy, signs": 200_704}
    rows = [row for row in rows if row["file"] != engines.LAYER]
    assert {row["file"] for row in rows} == {str(file)}
    assert {row["engine"] for row in rows} == {
        *("torch", "numpy", "onnxruntime", "onnxruntime int8"),
        *("torch, one network of the run", "torch, all networks of the run"),
    }
    assert len(rows) == 6 and all(float(row["ms"]) > 0 for row in rows)
    assert all(bool(row["score"]) == (not row["engine"].endswith("the run")) for row in rows)
    assert "times as fast" in capsys.readouterr().out


def test_the_layer_of_signs_is_the_layer_of_their_floats() -> None:
    made, example = engines.layer_engines(0)
    floats = made["numpy"](example)
    assert np.allclose(floats, made["torch"](example), atol=1e-3)
    found = made[engines.BINARY](example)
    assert found.shape == floats.shape and np.corrcoef(found[0], floats[0])[0, 1] > 0.4  # 2 / pi of signs of noise


def test_an_agent_with_a_memory_stands_beside_too() -> None:
    ppo.main([*TINY_PPO, "--runs-dir", str(folder := Path(tempfile.mkdtemp()))])
    (run,) = folder.iterdir()
    (engine,) = engines.teacher_engines(Teacher.of(run)).values()
    frames = np.zeros((3, 4, 84, 84), np.uint8)
    assert engine(frames).shape == (3, 6) and np.allclose(engine(frames).sum(1), 1, atol=1e-5)


def test_a_run_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        latency.main([str(teacher_run()), "--results-dir", str(tmp_path)])
    assert ended.value.code == 2 and str(teacher_run()) in capsys.readouterr().err

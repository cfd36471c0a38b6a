"""Run folders recorded by an earlier version, in tests/recorded: they still load, resume, play, compare and look.

Their settings are spelled with an s, and PPO's metrics have older names.
"""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from agents import compare, play
from rl_gen_lab import caption, look, train
from rl_gen_lab.runs.folder import RunFolder

RECORDED = Path(__file__).resolve().parent / "recorded"
AGENTS = ("dqn", "ppo", "actor_critic", "reinforce", "sb3_ppo")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in a current folder from which the runs' own paths lead to their data."""
    shutil.copytree(RECORDED, tmp_path / "recorded")
    monkeypatch.chdir(tmp_path)
    return Path("recorded")


def run_of(recorded: Path, name: str) -> RunFolder:
    (path,) = recorded.glob(f"{name}__*")
    return RunFolder.open(path)


def weights_of(run: RunFolder, name: str) -> set[str]:
    with safe_open(run.checkpoints / f"{name}.safetensors", "np") as file:
        return set(file.keys())


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_resumes_with_its_own_settings(recorded: Path, name: str) -> None:
    run = run_of(recorded, name)
    names, steps = weights_of(run, "last"), run.read_result()["total_env_steps"]
    module = importlib.import_module(f"agents.{'sb3' if name == 'sb3_ppo' else name}")
    module.main(["--resume", str(run.path), "--total-env-steps", str(steps + 300)])
    result = run.read_result()
    assert result["status"] == "finished" and result["total_env_steps"] >= steps + 300
    assert weights_of(run, "last") == names


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_plays_as_well_as_it_was_scored(recorded: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    run = run_of(recorded, name)
    final = run.read_result()["final_eval"]
    play.main([str(run.path), "--episodes", "2", "--film-steps", "3", "--seed", str(final["protocol"]["seed"])])
    assert f"{name} (best): {final['return_mean']:.2f} ±" in capsys.readouterr().out


def test_agents_are_compared(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(run_of(recorded, name).path) for name in ("ppo", "actor_critic")]
    compare.main([*runs, "--out", str(tmp_path / "comparison"), "--wandb.mode", "disabled"])
    assert "ppo" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segment_unet", "caption_attention"])
def test_a_vision_run_that_was_interrupted_resumes(recorded: Path, name: str) -> None:
    run = run_of(recorded, name)
    names, before = weights_of(run, "best"), run.read_result()
    assert before["status"] == "interrupted"
    minutes = before["wall_seconds"] / 60 + 0.02
    train.main(["--resume", str(run.path), "--total-minutes", str(minutes)])
    after = run.read_result()
    assert after["status"] == "finished" and after["updates"] > before["updates"]
    assert weights_of(run, "best") == names


def test_a_vision_model_is_looked_at(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look.main([str(run_of(recorded, "segment_unet").path), "--pictures", "1"])
    assert Path(capsys.readouterr().out.strip()).is_file()
    caption.main([str(run_of(recorded, "caption_attention").path), "--pictures", "1"])
    assert "bleu4" in capsys.readouterr().out


def test_what_is_recorded_really_is_older() -> None:
    config = json.loads(next(RECORDED.glob("ppo__*/config.json")).read_text(encoding="utf-8"))["config"]
    metrics = next(RECORDED.glob("ppo__*/metrics.jsonl")).read_text(encoding="utf-8")
    assert "normalise_obs" in config["policy"] and "losses/kl_nats" in metrics

"""Environments with the observation of `world.observe`: models as observers, their fingerprints, and refusals."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pong_models
import pytest
from safetensors.torch import load_file, save_file

from agents import dqn, observation, play, ppo
from agents.training.cli import parse
from agents.training.environments import make_vec, task_fingerprint
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.runs.folder import RunFolder

SHORT = ["--env", "Pong", "--preset", "defaults", "--num-envs", "2", "--world.max-episode-frames", "60"]
SHORT += ["--eval.every-env-steps", "0", "--eval.episodes", "1", "--eval.final-episodes", "1", "--no-film"]
SHORT += ["--wandb.mode", "disabled", "--checkpoint-every-env-steps", "16"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "main", "model", "task", "flags"),
    [
        ("dqn", dqn.main, "detector", "detect", ["--learning-starts-env-steps", "8", "--replay.capacity", "200"]),
        ("ppo", ppo.main, "segment", "segment", ["--rollout-steps", "4", "--minibatch-size", "8"]),
    ],
)
def test_an_agent_learns_resumes_and_plays_with_a_model_as_its_observation(
    agent: str, main: Callable[[list[str]], None], model: str, task: str, flags: list[str], tmp_path: Path
) -> None:
    source = f"{model}:{pong_models.run(task)}"
    main([*SHORT, *flags, "--observe", source, "--total-env-steps", "24", "--runs-dir", str(tmp_path)])
    (folder,) = tmp_path.iterdir()
    about = RunFolder.open(folder).read_config()
    assert about["config"]["world"]["observe"] == source
    observer = str(about["fingerprint"]["fields"]["observe"])
    assert observer.startswith(model) and str(tmp_path) not in observer and "seen as" in about["fingerprint"]["text"]
    main(["--resume", str(folder), "--total-env-steps", "32"])
    result = RunFolder.open(folder).read_result()
    assert result["status"] == "finished" and result["total_env_steps"] == 32
    policy = play.load_policy(RunFolder.open(folder), "best")
    world = from_dict(EnvConfig, about["config"]["world"])
    vec = make_vec("Pong", 1, world)
    obs, _ = vec.reset(seed=0)
    vec.close()
    assert policy.act(obs).shape == (1,)

    observation.main(
        [str(folder), "--sources", "objects", source, "--episodes", "1", "--results-dir", str(tmp_path / "results")]
    )
    observation.main([str(folder), "--episodes", "1", "--results-dir", str(tmp_path / "results")])
    with (tmp_path / "results" / "observation.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["source"] for row in rows] == ["truth", observer], "the same detector again: the row is replaced"
    assert rows[0]["cpu_ms_per_picture"] == "" and float(rows[1]["cpu_ms_per_picture"]) > 0
    assert rows[1]["fingerprint"] == about["fingerprint"]["hash"] != rows[0]["fingerprint"]
    assert rows[1]["source_on_test_split"].startswith("f1 " if task == "detect" else "miou ")


@pytest.mark.parametrize("flags", [["--observe", "detector:RUN"], ["--world.observe=objects"]])
def test_an_agent_that_observes_objects_has_a_preset_of_its_own(flags: list[str]) -> None:
    assert parse(dqn.Config, "dqn", ["--env", "Pong"]).backbone == "small"
    config = parse(dqn.Config, "dqn", ["--env", "Pong", *flags])
    assert config.backbone == "mlp" and config.world.observe == flags[-1].rpartition("=")[2]
    assert parse(dqn.Config, "dqn", ["--env", "Freeway", *flags]).backbone == "auto"


def test_other_weights_are_another_task(tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(pong_models.run("detect"), copy)
    world = EnvConfig(observe=f"detector:{copy}")
    moved = task_fingerprint("ALE/Pong-v5", world, 0.0)
    original = EnvConfig(observe=f"detector:{pong_models.run('detect')}")
    assert moved.hash == task_fingerprint("ALE/Pong-v5", original, 0.0).hash
    weights = load_file(copy / "checkpoints" / "best.safetensors")
    weights["head.bias"] = weights["head.bias"] + 1
    save_file(weights, copy / "checkpoints" / "best.safetensors")
    assert task_fingerprint("ALE/Pong-v5", world, 0.0).hash != moved.hash


def test_a_model_that_cannot_observe_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(main: Callable[[list[str]], None], *flags: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(list(flags))
        assert caught.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert len(lines) == 1
        return lines[0]

    detector, segmenter = pong_models.run("detect"), pong_models.run("segment")
    runs = ["--runs-dir", str(tmp_path / "runs")]
    assert "a run of 'segment', not of 'detect'" in refused(
        dqn.main, *SHORT, *runs, "--observe", f"detector:{segmenter}"
    )
    assert "no run folder at" in refused(dqn.main, *SHORT, *runs, "--observe", f"detector:{tmp_path / 'nowhere'}")
    assert "must be one of pixels, objects, detector:RUN" in refused(dqn.main, *SHORT, *runs, "--observe", "ears")
    other = ["--env", "Breakout", *SHORT[2:], *runs, "--observe", f"detector:{detector}"]
    assert "was trained to find ball, player, enemy; in ALE/Breakout-v5" in refused(dqn.main, *other)
    assert not (tmp_path / "runs").exists()
    assert "which cannot be played" in refused(observation.main, str(detector))
    assert "--sources takes one source or more" in refused(observation.main, str(detector), "--sources")
    pixels, objects = EnvConfig(), EnvConfig(observe="objects")
    with pytest.raises(ConfigError, match="trained on pixels; it cannot play on objects"):
        observation.settings_of("Pong", pixels, ("objects",))
    with pytest.raises(CheckpointError, match="not of 'segment'"):
        observation.settings_of("Pong", objects, ("objects", f"segment:{detector}"))

"""Agents that see through trained models: the same model as was trained, training, resuming, play, the record."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pong_models
import pytest
import torch

from agents import dqn, observation, play, ppo
from agents.perception import detectors
from agents.training.cli import parse
from agents.training.environments import make_vec, task_fingerprint
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config as TrainConfig
from rl_gen_lab.training.load import load_task, weights_digest
from rl_gen_lab.training.task import Task
from rl_gen_lab.training.tasks import TASKS
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

CPU = torch.device("cpu")
SHORT = ["--env", "Pong", "--preset", "defaults", "--num-envs", "2", "--world.max-episode-frames", "60"]
SHORT += ["--eval.every-env-steps", "0", "--eval.episodes", "1", "--eval.final-episodes", "1", "--no-film"]
SHORT += ["--wandb.mode", "disabled", "--checkpoint-every-env-steps", "16"]


def as_trained(task: str) -> tuple[Task, data.Dataset]:
    """The model built from its data, as training did, with the weights of its file."""
    run, dataset = RunFolder.open(pong_models.run(task)), data.load(pong_models.folder())
    config = from_dict(TrainConfig, run.read_config()["config"])
    built = TASKS[task](config, dataset, CPU)
    built.network.load_state_dict(load_weights(run.checkpoints / "best.safetensors")[0])
    built.network.eval()
    return built, dataset


def test_a_saved_detector_finds_what_the_trained_one_found() -> None:
    trained, dataset = as_trained("detect")
    images = dataset.splits["test"].images
    saved = load_task(pong_models.run("detect"), "detect")
    assert isinstance(trained, OneStageTask) and isinstance(saved, OneStageTask)
    with torch.no_grad():
        expected, found = trained.predict(images), saved.predict(images)
    assert sum(len(one.boxes) for one in expected) > 0
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        assert torch.equal(one.classes, other.classes)
    watcher = detectors.detector(str(pong_models.run("detect")))
    (seen, _) = watcher.look(images.permute(0, 2, 3, 1).numpy())
    sure = expected[0].above(0.1)
    for i, name in enumerate(dataset.categories):
        boxes = sure.boxes[sure.classes == i]
        sides = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
        torch.testing.assert_close(torch.tensor(seen.get(name, [])).reshape(-1, 4), sides)
    assert watcher.pictures >= 2 and watcher.seconds > 0


def test_a_model_is_known_by_its_weights_not_by_the_bytes_of_its_file(tmp_path: Path) -> None:
    run = shutil.copytree(pong_models.run("detect"), tmp_path / "run")
    file, known = run / "checkpoints" / "best.safetensors", weights_digest(run)
    weights, metadata = load_weights(file)
    save_weights(file, weights, metadata | {"note": "saved anew"})
    assert weights_digest(run) == known
    name = next(iter(weights))
    save_weights(file, weights | {name: weights[name] + 1}, metadata)
    assert weights_digest(run) != known


def test_a_saved_segmenter_sees_what_the_trained_one_saw() -> None:
    trained, dataset = as_trained("segment")
    images = dataset.splits["test"].images
    saved = load_task(pong_models.run("segment"), "segment")
    assert isinstance(trained, SegmentationTask) and isinstance(saved, SegmentationTask)
    with torch.no_grad():
        assert torch.equal(trained.predict(images), saved.predict(images))


def test_connected_pixels_of_a_class_are_one_thing() -> None:
    classes = np.zeros((20, 30), np.int64)
    classes[2:6, 3:5] = 1
    classes[10:18, 20:24] = 2
    classes[10:14, 5:9] = 2
    classes[0, 29] = 1  # a single pixel is nothing
    assert detectors.pieces(classes, ("ball", "paddle")) == {
        "ball": [(3, 2, 2, 4)],
        "paddle": [(20, 10, 4, 8), (5, 10, 4, 4)],
    }


@pytest.mark.parametrize(
    ("agent", "main", "kind", "task", "flags"),
    [
        ("dqn", dqn.main, "detector", "detect", ["--learning-starts-env-steps", "8", "--replay.capacity", "200"]),
        ("ppo", ppo.main, "segment", "segment", ["--rollout-steps", "4", "--minibatch-size", "8"]),
    ],
)
def test_an_agent_learns_resumes_and_plays_through_a_model(
    agent: str, main: Callable[[list[str]], None], kind: str, task: str, flags: list[str], tmp_path: Path
) -> None:
    source = f"{kind}:{pong_models.run(task)}"
    main([*SHORT, *flags, "--observe", source, "--total-env-steps", "24", "--runs-dir", str(tmp_path)])
    (folder,) = tmp_path.iterdir()
    about = RunFolder.open(folder).read_config()
    assert about["config"]["world"]["observe"] == source
    seen = str(about["fingerprint"]["fields"]["observe"])
    assert seen.startswith(kind) and str(tmp_path) not in seen and "seen as" in about["fingerprint"]["text"]
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
    assert [row["source"] for row in rows] == ["truth", seen], "its own eyes again: the row is replaced"
    assert rows[0]["cpu_ms_per_picture"] == "" and float(rows[1]["cpu_ms_per_picture"]) > 0
    assert rows[1]["fingerprint"] == about["fingerprint"]["hash"] != rows[0]["fingerprint"]
    assert rows[1]["source_on_test_split"].startswith("f1 " if task == "detect" else "miou ")


@pytest.mark.parametrize("flags", [["--observe", "detector:RUN"], ["--world.observe=objects"]])
def test_who_sees_objects_has_a_preset_for_objects(flags: list[str]) -> None:
    assert parse(dqn.Config, "dqn", ["--env", "Pong"]).backbone == "small"
    config = parse(dqn.Config, "dqn", ["--env", "Pong", *flags])
    assert config.backbone == "mlp" and config.world.observe == flags[-1].rpartition("=")[2]
    assert parse(dqn.Config, "dqn", ["--env", "Freeway", *flags]).backbone == "auto"


def test_other_weights_are_other_eyes(tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    copy = tmp_path / "moved"
    shutil.copytree(pong_models.run("detect"), copy)
    world = EnvConfig(observe=f"detector:{copy}")
    moved = task_fingerprint("Pong", world, 0.0)
    assert moved.hash == task_fingerprint("Pong", EnvConfig(observe=f"detector:{pong_models.run('detect')}"), 0.0).hash
    weights = load_file(copy / "checkpoints" / "best.safetensors")
    weights["head.bias"] = weights["head.bias"] + 1
    save_file(weights, copy / "checkpoints" / "best.safetensors")
    assert task_fingerprint("Pong", world, 0.0).hash != moved.hash


def test_what_cannot_see_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    watcher = detectors.detector(str(detector))
    with pytest.raises(ConfigError, match="pictures of 160 x 210, this world shows 64 x 64"):
        watcher.look(np.zeros((1, 64, 64, 3), np.uint8))
    pixels, objects = EnvConfig(), EnvConfig(observe="objects")
    with pytest.raises(ConfigError, match="trained on pixels; it cannot play on objects"):
        observation.settings_of("Pong", pixels, ("objects",))
    with pytest.raises(CheckpointError, match="not of 'segment'"):
        observation.settings_of("Pong", objects, ("objects", f"segment:{detector}"))

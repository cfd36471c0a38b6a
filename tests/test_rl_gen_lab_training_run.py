"""Supervised runs: their record, what they print, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import vision_data
from PIL import Image
from vision_runs import config, final, only_run

from envs import scenes
from rl_gen_lab import train
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.vision.segmentation.config import SegmentConfig


def test_a_run_leaves_its_record_and_measures_the_test_split_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []
    real = Loop.measure
    monkeypatch.setattr(Loop, "measure", lambda self, name: measured.append(name) or real(self, name))
    result = training_run.train(config(tmp_path))
    assert measured == ["val"] * 4 + ["test"]
    run = only_run(tmp_path)
    assert run.path.name.startswith("segment_unet__pictures__0__")
    assert run.read_result() == json.loads(json.dumps(result)) and result["status"] == "finished"
    assert (result["epochs"], result["updates"]) == (3, 12)
    assert 0 < result["latency_ms"] < 10_000
    rows = run.read_metrics()
    assert [row["global_step"] for row in rows if "losses/loss" in row] == list(range(1, 13))
    values = [row["val/miou"] for row in rows if "val/miou" in row]
    assert len(values) == 3 and result["best_epoch"] == 1 + values.index(max(values))
    weights, about = load_weights(run.checkpoints / "best.safetensors")
    assert about["task"] == "segment" and weights.keys() == final(run).keys()
    about_run = run.read_config()
    assert about_run["categories"] == ["ball", "paddle"] and about_run["data"] == about["data"]
    said = capsys.readouterr().out
    assert "16 train, 2 val, 2 test" in said and "W&B: disabled" in said


def test_a_run_that_has_ended_says_so_when_it_is_resumed_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = training_run.train(config(tmp_path, epochs=1))
    run = only_run(tmp_path)
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    capsys.readouterr()
    train.main(["--resume", str(run.path)])
    (line,) = capsys.readouterr().out.splitlines()
    assert "1 epochs are done and the test images measured: there is nothing left to train" in line
    assert training_run.train(config(tmp_path, resume=run.path)) == json.loads(json.dumps(result))
    with pytest.raises(SystemExit) as caught:  # a wish that cannot be met is no success
        train.main(["--resume", str(run.path), "--total-minutes", "9"])
    assert caught.value.code == 2 and "has ended, and its test images were measured" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def test_a_name_that_wandb_refuses_leaves_no_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", "--data", str(vision_data.folder()), "--runs-dir", str(tmp_path), "--wandb.project", "a/b"]
    with pytest.raises(SystemExit) as caught:
        train.main(words)
    assert caught.value.code == 2 and "--wandb.project 'a/b' contains '/'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_frames_of_a_game_are_learned_from_their_files(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=20, every=8, out=tmp_path / "pong"))
    flags = ["segment", "--data", str(path), "--runs-dir", str(tmp_path / "runs"), "--wandb.mode", "disabled"]
    flags += ["--segment.model", "fcn", "--segment.width", "4", "--epochs", "1", "--batch-size", "4"]
    train.main(flags)
    result = only_run(tmp_path / "runs").read_result()
    assert {"iou/player", "iou/enemy", "accuracy"} <= result["test"].keys()


def test_what_is_corrected_in_a_folder_is_said_and_what_is_broken_makes_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = vision_data.write(tmp_path / "own")
    file = path / "annotations" / "instances.json"
    labels = json.loads(file.read_text())
    labels["annotations"][0]["bbox"][2] = 0
    x, y, width, height = labels["annotations"][1]["bbox"]
    labels["annotations"][1]["bbox"] = [-0.0001, y, x + width, height]
    file.write_text(json.dumps(labels))
    training_run.train(config(tmp_path / "runs", data=path, epochs=1))
    said = capsys.readouterr().out
    assert "left out, for their box or mask covers nothing of the image: 1 objects" in said
    assert "cut off at the borders of their image: 1 boxes" in said
    (path / "images" / "3.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit) as caught:
        train.main(["segment", "--data", str(path), "--runs-dir", str(tmp_path / "none"), "--wandb.mode", "disabled"])
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and "3.png is damaged" in line and not (tmp_path / "none").exists()


def test_what_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*flags: str) -> str:
        with pytest.raises(SystemExit) as caught:
            train.main(list(flags))
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "--data FOLDER" in refused("segment")
    assert "there is no folder" in refused("segment", "--data", str(tmp_path / "nowhere"))
    assert "invalid choice" in refused("segments")
    assert not (tmp_path / "runs").exists()
    training_run.train(config(tmp_path / "runs", epochs=1))
    run = only_run(tmp_path / "runs")
    assert "--epochs cannot be changed" in refused("--resume", str(run.path), "--epochs", "9")
    assert "is a run of segment, not of classify" in refused("classify", "--resume", str(run.path))
    assert "unexpected argument 'again'" in refused("--resume", str(run.path), "again")
    (run.path / "result.json").unlink()
    other = config(tmp_path, data=vision_data.write(tmp_path / "other", seed=1), resume=run.path)
    with pytest.raises(CheckpointError, match="was trained with data"):
        training_run.train(other)


def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training_run.train(config(tmp_path / "runs", epochs=1))
    run = only_run(tmp_path / "runs")
    (run.path / "result.json").unlink()
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    other = config(tmp_path, resume=run.path, epochs=2, segment=SegmentConfig(model="fcn"))
    with pytest.raises(CheckpointError, match="does not fit this program"):
        training_run.train(other)
    assert "resume with" not in capsys.readouterr().out
    assert {file: file.read_bytes() for file in before} == before


def test_a_run_is_not_resumed_on_other_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own")
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    assert "left out" not in capsys.readouterr().out
    run = only_run(tmp_path / "runs")
    (run.path / "result.json").unlink()
    file = own / "images" / "7.png"
    before = file.read_bytes()
    pixels = np.array(Image.open(file))
    pixels[20, 20, 0] += 1
    Image.fromarray(pixels).save(file)
    with pytest.raises(CheckpointError, match=r"was trained on other images than .*own holds now"):
        training_run.train(config(tmp_path, data=own, resume=run.path))
    file.write_bytes(before)
    training_run.train(config(tmp_path, data=own, resume=run.path, epochs=1))
    assert run.read_result()["status"] == "finished"
    (run.path / "result.json").unlink()
    about = run.read_config()
    del about["pixels"]  # as of a run made before pictures were looked at
    run.write_config(about)
    Image.fromarray(pixels).save(file)
    training_run.train(config(tmp_path, data=own, resume=run.path, epochs=1))


def test_images_left_out_for_a_crowd_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own", images=30)
    file = own / "annotations" / "instances.json"
    labels = json.loads(file.read_text())
    labels["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(labels))
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    assert "\nleft out, for they show crowds (iscrowd): 1 images" in capsys.readouterr().out


def test_a_category_that_a_split_never_shows_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own")
    file = own / "annotations" / "instances.json"
    labels = json.loads(file.read_text())
    labels["annotations"] = [a for a in labels["annotations"] if a["category_id"] == 2 or a["image_id"] % 10 != 8]
    file.write_text(json.dumps(labels))
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    said = capsys.readouterr().out
    assert "\nno val image shows ball: val says nothing about it" in said and "no test image" not in said

"""The task of classic classifiers: runs, what is saved, resuming, and real digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from classic_data import DIGITS, digits, ship_digits
from vision_data import folder as pong_folder

from rl_gen_lab import look, train
from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.task import ClassicTask
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.data import dataset
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training import tasks
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.load import load_task


def train_config(path: Path, classic: ClassicConfig, **settings: Any) -> Config:
    usual = {"data": DIGITS, "epochs": 3, "batch_size": 32, "wandb": WandbConfig("disabled"), "runs_dir": path / "runs"}
    return Config(task="classic", classic=classic, **usual | settings)


def trained(path: Path, classic: ClassicConfig, **settings: Any) -> tuple[Path, dict[str, Any]]:
    result = training_run.train(train_config(path, classic, **settings))
    (found,) = (path / "runs").iterdir()
    return found, result


@pytest.mark.parametrize(
    ("classic", "bar"),
    [
        (ClassicConfig(features="hog"), 0.935),
        (ClassicConfig(features="hog-opencv"), 0.935),
        (ClassicConfig(features="words", words=32), 0.80),
        (ClassicConfig("softmax", "pixels"), 0.80),
        (ClassicConfig("knn", "pca"), 0.95),
    ],
    ids=["hog", "hog-opencv", "words", "softmax", "knn"],
)
def test_real_digits_are_recognized(
    classic: ClassicConfig, bar: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_digits(monkeypatch)
    path, result = trained(tmp_path, classic)
    assert result["goal"] == "top1" and result["test"]["top1"] > bar
    assert {"predictions_val.png"} <= {file.name for file in (path / "pictures").iterdir()}
    images = dataset.load(DIGITS).splits["test"].images[:50]
    task = load_task(path, "classic")  # without the images that it was trained on
    again = tasks.make_task(train_config(tmp_path, classic), dataset.load(DIGITS), torch.device("cpu"))
    again.network.load_state_dict(task.network.state_dict())
    with torch.no_grad():
        assert torch.equal(task.predict(images), again.predict(images))
    share = float((task.predict(images).argmax(1) == labels()[:50]).float().mean())
    assert share > bar - 0.1


def labels() -> torch.Tensor:
    return torch.tensor([label.objects[0].category for label in dataset.load(DIGITS).splits["test"].labels])


@pytest.mark.parametrize(("model", "first"), [("svm", 9.0), ("softmax", 2.302585)])
def test_the_first_loss_is_the_one_on_paper(model: str, first: float, monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits(monkeypatch)
    task = tasks.make_task(Config("classic", classic=ClassicConfig(model)), data, torch.device("cpu"))  # type: ignore[arg-type]
    losses = task.loss(data.splits["train"], torch.arange(16))
    assert float(losses["data"]) == pytest.approx(first, abs=1e-6) and float(losses["penalty"].detach()) == 0


def test_frames_that_show_several_categories_are_learned_by_category(tmp_path: Path) -> None:
    path, result = trained(tmp_path, ClassicConfig(features="pixels", side=32), data=pong_folder(), epochs=1)
    assert result["goal"] == "balanced_accuracy" and "balanced_accuracy/ball" in result["test"]
    record = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert any("val/balanced_accuracy" in row for row in record)
    data = dataset.load(pong_folder())
    task = tasks.make_task(train_config(tmp_path, ClassicConfig()), data, torch.device("cpu"))
    assert isinstance(task, ClassicTask)
    assert float(task.loss(data.splits["train"], torch.arange(4))["data"]) == len(data.categories)


def test_a_stopped_run_continues_as_if_it_had_not_been_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_digits(monkeypatch)
    classic = ClassicConfig(features="words", words=8)
    whole, _ = trained(tmp_path / "whole", classic, epochs=2, checkpoint_every_updates=5)
    training_run.train(
        train_config(tmp_path / "part", classic, epochs=2, checkpoint_every_updates=5, total_minutes=1e-9)
    )
    (part,) = (tmp_path / "part" / "runs").iterdir()
    run = RunFolder.open(part)
    assert run.read_result()["updates"] < 52
    run.result_file.unlink()
    config = json.loads(run.config_file.read_text())
    config["config"]["total_minutes"] = None
    run.config_file.write_text(json.dumps(config))
    training_run.train(train.read_config(["--resume", str(part)]))
    weights = [load_task(path, "classic").network.state_dict() for path in (whole, part)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_predictions_are_drawn_by_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_digits(monkeypatch)
    path, _ = trained(tmp_path, ClassicConfig(features="hog"), epochs=1)
    look.main([str(path), "--split", "test"])
    assert {file.name for file in (path / "pictures").glob("*test*")} == {"predictions_test.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classic.features", "pixels", "--classic.cell", "4"], "classic.cell is a setting of hog, hog-opencv"),
        (["--classic.neighbors", "5"], "classic.neighbors is a setting of knn, not of svm"),
        (["--classic.model", "knn", "--classic.regularization", "1"], "classic.regularization is a setting of svm"),
    ],
)
def test_settings_of_another_choice_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train.read_config(["classic", *words])

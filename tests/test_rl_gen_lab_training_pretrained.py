"""A generator's encoder as the beginning of a vision model, and a share of the labels."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import generator_models
import generator_runs
import pytest
import torch
import vision_data
import vision_runs

from rl_gen_lab import pack
from rl_gen_lab import train as train_command
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.run import train
from rl_gen_lab.vision.recognition.config import ClassifyConfig
from rl_gen_lab.vision.recognition.task import RecognitionTask
from rl_gen_lab.vision.segmentation.config import SegmentConfig

SAME = ClassifyConfig(choices=generator_models.SMALL)


def config(path: Path, **changes: object) -> Config:
    words = {"task": "classify", "classify": SAME, "data": vision_data.folder(), "epochs": 1} | changes
    return vision_runs.config(path, **words)


def test_a_frozen_backbone_stays_as_it_is_whatever_its_layers(tmp_path: Path) -> None:
    batch = ClassifyConfig(choices=replace(generator_models.SMALL, norm="batch", dropout=0.3))
    train(config(tmp_path / "first", classify=batch))
    first = vision_runs.only_run(tmp_path / "first")
    train(config(tmp_path / "second", classify=batch, init_backbone=first.path, init_frozen=True))
    saved, _ = load_weights(first.checkpoints / "best.safetensors")
    learned = vision_runs.final(vision_runs.only_run(tmp_path / "second"))
    assert all(torch.equal(learned[name], saved[name]) for name in learned if name.startswith("backbone."))
    assert not torch.equal(learned["classes.weight"], saved["classes.weight"])


def test_a_resumed_run_does_not_need_the_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shutil.copytree(generator_runs.run_of("vae").path, tmp_path / "source")
    real, count = RecognitionTask.loss, [0]

    def loss(self: RecognitionTask, split: Split, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, split, indices)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(RecognitionTask, "loss", loss)
        train(config(tmp_path / "runs", init_backbone=source, init_frozen=True))
    shutil.rmtree(source)
    run = vision_runs.only_run(tmp_path / "runs")
    train_command.main(["--resume", str(run.path)])
    assert run.read_result()["status"] == "finished"


@pytest.mark.parametrize("frozen", [True, False])
def test_a_classifier_begins_with_a_generator_s_encoder(frozen: bool, tmp_path: Path) -> None:
    source = generator_runs.run_of("vae")
    train(config(tmp_path, init_backbone=source.path, init_frozen=frozen))
    saved, _ = load_weights(source.checkpoints / "best.safetensors")
    learned = vision_runs.final(vision_runs.only_run(tmp_path))
    first = (
        "backbone.conv.0.weight"
        if "backbone.conv.0.weight" in learned
        else next(n for n in learned if n.endswith("weight"))
    )
    same = torch.equal(learned[first], saved[f"encoder.{first}"])
    assert same == frozen
    for name in learned:
        if name.startswith("backbone.") and name.endswith((".mean", ".scale")):
            assert torch.equal(learned[name], saved[f"encoder.{name}"])


def test_a_packed_generator_stands_where_its_run_can(tmp_path: Path) -> None:
    source, file = generator_runs.run_of("vae"), tmp_path / "vae.rlz"
    pack.main([str(source.path), "--out", str(file)])
    train(config(tmp_path / "runs", init_backbone=file, init_frozen=True))
    saved, _ = load_weights(source.checkpoints / "best.safetensors")
    learned = vision_runs.final(vision_runs.only_run(tmp_path / "runs"))
    own = [name for name in learned if name.startswith("backbone.")]
    assert own and all(torch.equal(learned[name], saved[f"encoder.{name}"]) for name in own)
    other = replace(SAME, choices=replace(generator_models.SMALL, width=16))
    with pytest.raises(CheckpointError, match=r"backbone of .*vae.rlz is another .*resnet, choices .*stages 4 width 8"):
        train(config(tmp_path, classify=other, init_backbone=file))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"vae.rlz: .*checksum"):
        train(config(tmp_path, init_backbone=file))


def test_a_share_of_the_training_images_is_used_and_recorded(tmp_path: Path) -> None:
    train(config(tmp_path, label_share=0.25))
    run = vision_runs.only_run(tmp_path)
    assert run.read_config()["images"] == {"train": 4, "val": 2, "test": 2}
    whole = vision_data.dataset()
    part = whole.with_share(0.25).splits["train"]
    assert [label.file for label in part.labels] == [whole.splits["train"].labels[i].file for i in (0, 5, 10, 15)]
    assert torch.equal(part.images, whole.splits["train"].images[[0, 5, 10, 15]])
    assert len(whole.with_share(1e-9).splits["train"]) == 1 and whole.with_share(1.0) is whole


def test_another_backbone_is_refused_with_the_settings_of_the_run(tmp_path: Path) -> None:
    other = replace(SAME, choices=replace(generator_models.SMALL, width=16))
    with pytest.raises(CheckpointError, match=r"is another .*made with backbone resnet, choices width 8 stages 4"):
        train(config(tmp_path, classify=other, init_backbone=generator_runs.run_of("vae").path))
    with pytest.raises(ConfigError, match="models on a backbone"):
        fcn = SegmentConfig("fcn", width=4, levels=1)
        changes = {"task": "segment", "segment": fcn, "classify": ClassifyConfig()}
        train(config(tmp_path, init_backbone=generator_runs.run_of("vae").path, **changes))
    with pytest.raises(ConfigError, match="--init-frozen belongs to --init-backbone"):
        config(tmp_path, init_frozen=True)
    assert not list(tmp_path.iterdir())  # refused before a run folder is made

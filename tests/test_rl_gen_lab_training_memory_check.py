"""A training that does not fit into memory is refused before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import vision_data

from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=size))


def test_training_that_does_not_fit_is_refused_before_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Config("detect", vision_data.folder(), epochs=1, runs_dir=tmp_path / "runs", wandb=WandbConfig("disabled"))
    free(monkeypatch, 600_000)
    with pytest.raises(
        ConfigError, match=r"train [\d,]+ weights takes, beside them, at least .* use --detect\.choices"
    ):
        training_run.train(base)
    free(monkeypatch, 8_000_000)
    with pytest.raises(ConfigError, match=r"on 64 images at a time takes, .* 0\.0 GB free: use a smaller --batch-size"):
        training_run.train(replace(base, batch_size=64))
    assert not base.runs_dir.exists()
    free(monkeypatch, 5 * 10**8)
    wide = SegmentConfig(choices=BackboneConfig(width=1_024, stages=1, depth=1))
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "make_task", None)  # refused before anything is built
        with pytest.raises(ConfigError, match=r"on 64 images at a time takes, .* GB free: use a smaller --batch-size"):
            training_run.train(replace(base, task="segment", segment=wide, batch_size=64))
    free(monkeypatch, 50 * 10**6)
    flags = ["detect", "--data", str(base.data), "--runs-dir", str(base.runs_dir), "--detect.choices.stages", "9"]
    with pytest.raises(SystemExit) as caught:
        train.main(flags)
    assert caught.value.code == 2 and "weights of backbone 'resnet' need 2.9 GB" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"segment\.model fcn .*smaller --segment\.width or --segment\.levels"):
        training_run.train(replace(base, task="segment", segment=SegmentConfig("fcn", levels=16)))
    with pytest.raises(ConfigError, match=r"detect\.model rcnn .*smaller --detect\.choices\.width"):
        training_run.train(replace(base, detect=DetectConfig("rcnn", choices=BackboneConfig(width=1_000_000))))
    patches = SegmentConfig("patch", patches=1_000_000)
    with pytest.raises(ConfigError, match=r"1,000,000 patches of \d+ images .* use fewer --segment\.patches"):
        training_run.train(replace(base, task="segment", segment=patches))
    assert not base.runs_dir.exists()
    free(monkeypatch, 10**9)
    training_run.train(
        replace(base, detect=DetectConfig("yolo", choices=BackboneConfig(width=4, branches=4, stages=2, depth=1)))
    )

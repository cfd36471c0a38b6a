"""The command that trains vision models: it reads flags without torch and resumes runs of earlier versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rl_gen_lab import train
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder

RECORDED = Path(__file__).parent / "recorded"
SEGMENT, CAPTION = "segment_unet__pong__0__20261128-131711", "caption_attention__pong__0__20261128-131715"


@pytest.mark.parametrize(
    "statement",
    [
        "from rl_gen_lab import train; train.read_config(['segment', '--epochs', '3'])",
        "from rl_gen_lab import train; train.main(['--help'])",
        "import rl_gen_lab.runs.folder",
        "import rl_gen_lab.cli.command, rl_gen_lab.cli.flags, rl_gen_lab.cli.presets, rl_gen_lab.cli.progress",
    ],
)
def test_flags_and_run_folders_are_read_without_torch(statement: str) -> None:
    code = f"import sys\ntry:\n    exec({statement!r})\nexcept SystemExit:\n    pass\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [SEGMENT, CAPTION])
def test_a_run_of_an_earlier_version_is_resumed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RECORDED.parent)  # the folder of its data was named from there
    before = after = load_state(RECORDED / name / "checkpoints" / "latest")
    for seconds in (2, 10, 60):  # the later ones on a busy machine only, in which the time was over before an update
        if after["updates"] == before["updates"]:
            run = RunFolder(shutil.copytree(RECORDED / name, tmp_path / f"{seconds} s" / name))
            minutes = (float(before["wall_seconds"]) + seconds) / 60
            train.main(["--resume", str(run.path), "--total-minutes", str(minutes)])
            after = load_state(run.checkpoints / "latest")
    result = run.read_result()
    assert result["status"] == "finished" and result["updates"] == after["updates"] > before["updates"]
    assert before["network"].keys() == after["network"].keys()
    assert result["goal"] == json.loads((RECORDED / name / "result.json").read_text())["goal"]


def test_the_processes_of_a_resumed_run_may_share_its_network_in_another_way() -> None:
    config = train.read_config(["--resume", str(RECORDED / CAPTION), "--parallel", "tensor"])
    assert (config.task, config.parallel) == ("caption", "tensor")
    with pytest.raises(ConfigError, match="for segment use --parallel data"):
        train.read_config(["--resume", str(RECORDED / SEGMENT), "--parallel=tensor"])


def test_only_the_time_limit_of_a_resumed_run_can_be_changed() -> None:
    path = RECORDED / SEGMENT
    config = train.read_config(["--resume", str(path), "--total_minutes", "2"])
    assert (config.task, config.resume, config.total_minutes) == ("segment", path, 2.0)
    with pytest.raises(ConfigError, match="--seed cannot be changed"):
        train.read_config(["--resume", str(path), "--seed", "2"])
    with pytest.raises(ConfigError, match="--total-minutes takes a number above 0"):
        train.read_config(["--resume", str(path), "--total-minutes", "soon"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("segment --segment.width 65536", "segment.width is a setting of patch and fcn, not of unet"),
        ("segment --segment.model fcn --segment.patches 9", "segment.patches is a setting of patch, not of fcn"),
        (
            "segment --segment.model patch --segment.choices.width 64",
            "segment.choices is a setting of unet, not of patch",
        ),
        ("detect --detect.proposals 9", "is a setting of rcnn, fast-rcnn, faster-rcnn and mask-rcnn, not of ssd"),
        (
            "detect --detect.model sliding-window --detect.backbone nature",
            "detect.backbone is a setting of",
        ),
        (
            "detect --detect.model rcnn --detect.choices.stages 4",
            "detect.choices.stages is a setting of .*, not of rcnn",
        ),
        ("detect --detect.model yolo --detect.low-iou 0.6", "detect.low_iou is a setting of .*, not of yolo"),
        ("detect --detect.model yolo --detect.high-iou 0.7", "detect.high_iou is a setting of .*, not of yolo"),
        ("caption --caption.model plain --caption.look-everywhere 1", "is a setting of attention, not of plain"),
    ],
)
def test_settings_that_the_model_does_not_have_are_refused(flags: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train.read_config(flags.split())
    assert train.read_config(["segment", "--segment.model", "fcn", "--segment.width", "9"]).segment.width == 9


def test_the_run_of_an_agent_is_none_of_a_vision_model() -> None:
    path = RECORDED / "ppo__CartPole__1__20261128-131548"
    with pytest.raises(CheckpointError, match=r"is a run of python -m agents.ppo, not of python -m rl_gen_lab.train"):
        train.read_config(["--resume", str(path)])

"""The command that measures a captioner."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pong_models
import pytest

from rl_gen_lab import caption
from rl_gen_lab.runs.folder import RunFolder


def test_the_command_gives_the_figures_of_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(pong_models.run("caption"), run)
    shutil.rmtree(run / "pictures")
    caption.main([str(run), "--split", "test", "--pictures", "1"])
    said = capsys.readouterr().out
    assert caption.open_captioner(run).target_metric == RunFolder.open(run).read_result()["goal"] == "slot_accuracy"
    for name, value in RunFolder.open(run).read_result()["test"].items():
        if name != "ms_per_image":
            found = re.search(rf"^  {name} (\S+)$", said, re.MULTILINE)
            assert found and float(found[1]) == pytest.approx(value, abs=1e-4), name
    assert len(list((run / "pictures").glob("attention_test_*.png"))) == 1
    caption.main([str(run), "--beam", "3", "--images", "1", "--pictures", "0"])
    assert "val, 1 images, beam 3" in capsys.readouterr().out


def test_words_of_another_folder_that_the_captioner_never_saw_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    shutil.copytree(pong_models.folder(), own)
    file = own / "annotations" / "captions_val.json"
    captions = json.loads(file.read_text())
    for record in captions["annotations"]:
        record["caption"] = "An aurochs."
    file.write_text(json.dumps(captions))
    caption.main([str(pong_models.run("caption")), "--data", str(own), "--pictures", "0"])
    said = capsys.readouterr().out
    assert "val captions have words that no train caption has: a" in said and "exact_match 0.0000" in said


def test_what_is_no_captioner_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for flags, words in (
        ([str(pong_models.run("detect"))], "not of 'caption'"),
        ([str(tmp_path / "nowhere")], "no run folder"),
        ([str(pong_models.run("caption")), "--beam", "0"], "--beam takes a whole number from 1 to 100, or None, not 0"),
        ([str(pong_models.run("caption")), "--data", str(tmp_path)], "has no labels"),
    ):
        with pytest.raises(SystemExit) as caught:
            caption.main(flags)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err

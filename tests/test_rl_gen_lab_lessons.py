"""The figures of the lessons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from classic_data import ship_digits
from PIL import Image

from rl_gen_lab import lessons
from rl_gen_lab.training import lesson_runs


@pytest.mark.slow
def test_every_lesson_draws_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ship_digits(monkeypatch)
    monkeypatch.setattr(lesson_runs, "RATES", [0.01, 0.03])
    read = lesson_runs.read_points
    monkeypatch.setattr(lesson_runs, "read_points", lambda path: read(path).first(32))
    lessons.main(["--out", str(tmp_path / "lessons"), "--epochs", "1"])
    files = sorted((tmp_path / "lessons").iterdir())
    assert [file.stem for file in files] == sorted(lessons.LESSONS)
    assert all(str(file) in capsys.readouterr().out for file in files[:1])
    for file in files:
        pixels = np.asarray(Image.open(file).convert("L"))
        assert pixels.shape[1] > 900 and pixels.std() > 10


def test_one_lesson_can_be_chosen_and_a_wrong_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_digits(monkeypatch)
    lessons.main(["--out", str(tmp_path), "--lessons", "first_losses"])
    assert [file.name for file in tmp_path.iterdir()] == ["first_losses.png"]
    with pytest.raises(SystemExit):
        lessons.main(["--out", str(tmp_path), "--lessons", "second_losses"])

"""The command `sample`: its figures, its record, and models without a distribution of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import generator_runs
import pytest

from rl_gen_lab import sample


@pytest.mark.parametrize("model", ["vae", "vq-vae", "autoencoder", "pca", "gmm", "factorised"])
def test_every_generator_can_be_looked_into(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = generator_runs.run_of(model).path
    sample.main([str(run), "--samples", "10", "--components", "3"])
    files = {file.stem for file in (run / "pictures").glob("*.png")}
    moved = {"interpolations", "traversals"}
    assert "samples" in files and (moved <= files) == (model not in ("vq-vae", "factorised"))
    record = json.loads((run / "sample.json").read_text())
    assert record["held_out_images"]["valid_share"] == 1.0 and 0 <= record["samples"]["valid_share"] <= 1
    assert record["prior"] == ("mixture" if model == "autoencoder" else "own")
    assert "held out images could be frames" in capsys.readouterr().out


def test_a_damaged_palette_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, colors in enumerate(("x", [], [[1, 2]], [[1, 2, 999]])):
        run = shutil.copytree(generator_runs.run_of("vae").path, tmp_path / str(number))
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | {"colors": colors}))
        with pytest.raises(SystemExit) as end:
            sample.main([str(run)])
        assert end.value.code == 2 and "is damaged: 'colors" in capsys.readouterr().err


def test_figures_that_cannot_be_written_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(generator_runs.run_of("vae").path, tmp_path / "run")
    shutil.rmtree(run / "pictures")
    (run / "pictures").write_text("a file")
    with pytest.raises(SystemExit) as end:
        sample.main([str(run), "--samples", "3"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2 and len(lines) == 1 and "could not save" in lines[0]


def test_runs_of_other_tasks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main(["nowhere"])
    assert "no run folder" in capsys.readouterr().err

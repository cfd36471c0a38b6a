"""The command `sample`: its figures, its record, and models without a distribution of their own."""

from __future__ import annotations

import json

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


def test_runs_of_other_tasks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main(["nowhere"])
    assert "no run folder" in capsys.readouterr().err

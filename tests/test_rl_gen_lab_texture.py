"""The command of textures: pictures, measures and controls of every method, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl_gen_lab import texture


def picture(folder: Path, side: int = 60) -> str:
    y, x = np.mgrid[:side, :side]
    pixels = np.stack([(x // 3 + y // 4) % 2 * 200, (x // 5) % 2 * 90, 0 * x], 2)
    file = folder / "checks.png"
    Image.fromarray(pixels.astype(np.uint8)).save(file)
    return str(file)


def test_every_method_is_measured_beside_floor_and_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [picture(tmp_path), "all", "--size", "16", "--source", "28", "--patch", "12", "--overlap", "4"]
    texture.main([*words, "--window", "5", "--iterations", "2", "--runs-dir", str(tmp_path)])
    (run,) = tmp_path.glob("texture__*")
    result = json.loads((run / "result.json").read_text())
    methods = [row["method"] for row in result["rows"]]
    assert methods == [
        *("quilting", "pixels", "random-filters", "random-network", "patch-means"),
        *("held-out crops", "shuffled pixels"),
    ]
    assert result["held_out"] == 8  # of the 4 x 3 crops of 16 pixels that the square of 28 does not touch ... all 8
    measures = {row["method"]: row["measures"] for row in result["rows"]}
    assert measures["quilting"]["copied"] > 0.3 and measures["quilting"]["core_seconds"] >= 0
    assert measures["held-out crops"]["wasserstein_7"] < measures["shuffled pixels"]["wasserstein_7"]
    assert np.asarray(Image.open(run / "pictures" / "quilting.png")).shape == (16, 16, 3)
    assert "strip.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--patch", "70"], "--patch is 70 pixels, .*checks.png only 60: choose at most 60"),
        (["--patch", "8"], "--overlap 10 leaves nothing of --patch 8"),
        (["pixels", "--window", "6"], "--window must be odd, .*: 7, say"),
        (["pixels", "--window", "61"], "--window is 61 pixels, .*checks.png only 60: choose at most 60"),
        (["quilt"], "no method 'quilt'; there are quilting, .* Did you mean 'quilting'"),
        (["trained"], "the method trained needs --encoder RUN"),
        (["--layers", "conv"], "--layers needs --encoder"),
        (["--encoder", "nowhere"], "--encoder is a setting of the method trained"),
        (["trained", "--encoder", "nowhere"], "no run folder at nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        texture.main([picture(tmp_path), *words, "--runs-dir", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and re.search(said, error) and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()

"""The command `codec`: files of a run's own images, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import generator_runs
import latent_runs
import numpy as np
import pytest
import vision_data
from PIL import Image
from transition_folders import pong_transitions

from rl_gen_lab import codec


def test_images_go_into_a_file_and_come_back_as_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file, out = str(generator_runs.run_of("vae").path), tmp_path / "new" / "a.frames", tmp_path / "out"
    codec.main(["encode", run, "--file", str(file), "--split", "train"])
    assert f"{file}: 16 images in {file.stat().st_size:,} bytes" in capsys.readouterr().out
    codec.main(["decode", run, "--file", str(file), "--out", str(out)])
    assert "16 images, bit for bit" in capsys.readouterr().out
    images = vision_data.dataset().splits["train"].images
    for number, image in enumerate(images):
        written = np.asarray(Image.open(out / f"{number:06d}.png"))
        assert np.array_equal(written, image.permute(1, 2, 0).numpy())


def test_other_coders_stand_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    run = generator_runs.run_of("factorised").path
    codec.main(["compare", str(run), "--split", "train", "--frames", "5"])
    sizes = json.loads((run / "codec.json").read_text())
    assert sizes["images"] == 5 and sizes["file_bytes"] == (run / "frames.rlgf").stat().st_size
    assert set(sizes["coders"]) >= {"PNG", "WebP", "xz"} and min(sizes["coders"].values()) > 50
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in sizes["coders"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["decode", "RUN"], "decode needs --file FILE and --out FOLDER"),
        (["decode", "RUN", "--file", "nowhere", "--out", "x"], "nowhere is not a file"),
        (["decode", "RUN", "--file", "RUN/config.json", "--out", "x"], "no file of encoded images"),
        (["decode", "RUN", "--file", "OTHER/frames.rlgf", "--out", "x"], "encoded with another run"),
        (["decode", "RUN", "--file", "RUN/config.json", "--out", "RUN"], "is not empty"),
        (["encode", "GAUSSIAN"], "likelihood palette"),
        (["encode", "nowhere"], "no run folder"),
        (["encode", "RUN", "--data", "nowhere"], "nowhere"),
        (["encode", "RUN", "--frames", "-1"], "frames"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": generator_runs.run_of("vae").path, "OTHER": generator_runs.run_of("factorised").path}
    places["GAUSSIAN"] = generator_runs.run_of("vae", "gaussian").path
    codec.main(["encode", str(places["OTHER"]), "--frames", "2"])
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    for name, path in places.items():
        words = [word.replace(name, str(path)) for word in words]
    with pytest.raises(SystemExit) as end:
        codec.main(words)
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1] and len(lines) == 1, lines
    assert not (tmp_path / "x").exists()


def test_recorded_play_is_encoded_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = str(latent_runs.dream_run("pixels").path), str(tmp_path / "play")
    words = ["--data", str(pong_transitions()), "--split", "train", "--frames", "9", "--file", file]
    codec.main(["encode", run, *words])
    assert "9 images in" in capsys.readouterr().out
    codec.main(["decode", run, "--file", file, "--out", str(tmp_path / "out")])
    assert "9 steps, bit for bit" in capsys.readouterr().out
    with np.load(sorted((tmp_path / "out").iterdir())[0]) as episode:
        assert episode["frames"].shape[1:] == (210, 160) and episode["executed"].shape[1] == 4
    with pytest.raises(SystemExit):
        codec.main(["encode", str(latent_runs.dream_run("vae").path)])
    assert "gives pixels no probabilities" in capsys.readouterr().err

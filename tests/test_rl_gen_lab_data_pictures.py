"""Pictures by file and by name."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl_gen_lab.data import pictures
from rl_gen_lab.data.records import DataError


def test_files_are_read_whatever_their_size_and_turned_as_viewers_do(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    image.save(tmp_path / "a.png")
    assert (pictures.read_picture(str(tmp_path / "a.png")) == pixels).all()
    exif[274] = 6
    image.save(tmp_path / "b.png", exif=exif)
    assert (pictures.read_picture(str(tmp_path / "b.png")) == np.rot90(pixels, -1)).all()


def test_names_are_those_of_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    package = types.SimpleNamespace(grass=lambda: gray, hubble_deep_field=lambda: np.dstack([gray, gray, 2 * gray]))
    monkeypatch.setattr(pictures, "import_module", lambda name: package)
    grass, hubble = pictures.read_picture("grass"), pictures.read_picture("hubble")
    assert grass.shape == (3, 4, 3) and pictures.is_gray(grass) and not pictures.is_gray(hubble)


def test_what_is_no_picture_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    for name, said in [
        (str(tmp_path), "is a folder"),
        (str(tmp_path / "a.png"), "is damaged or was cut short, or is no image"),
        ("grasss", "a file, or one of .* Did you mean 'grass'"),
    ]:
        with pytest.raises(DataError, match=said):
            pictures.read_picture(name)

    def missing(name: str) -> None:
        raise ImportError

    monkeypatch.setattr(pictures, "import_module", missing)
    with pytest.raises(DataError, match=r"scikit-image, which is not here: .* or give a file"):
        pictures.read_picture("grass")


def test_pictures_are_fitted_by_their_middle() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    fitted = pictures.fitted(picture, 20, 20)
    assert fitted.shape == (20, 20, 3) and fitted.min() > 150
    assert pictures.fitted(picture, 80, 50).shape == (80, 50, 3)

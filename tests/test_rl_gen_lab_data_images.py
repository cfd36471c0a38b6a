"""Image files as users have them: formats, pixel formats, EXIF orientation, broken and malicious files."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rl_gen_lab.data.images import read_image, read_resized
from rl_gen_lab.data.records import DataError

H, W = 6, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB = Image.fromarray(PIXELS)


def saved(file: Path, image: Image.Image, **options: Any) -> Path:
    image.save(file, **options)
    return file


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp"])
def test_formats_without_loss_are_read_to_the_pixel(tmp_path: Path, ending: str) -> None:
    file = saved(tmp_path / f"a.{ending}", RGB, **({"lossless": True} if ending == "webp" else {}))
    assert (read_image(file, H, W).transpose(1, 2, 0) == PIXELS).all()


def test_pixel_formats_are_converted_on_purpose(tmp_path: Path) -> None:
    grays = Image.fromarray(PIXELS[..., 0])
    red = Image.new("RGB", (W, H), (255, 0, 0))
    palette = red.convert("P", palette=Image.Palette.ADAPTIVE)
    shown = {
        "gray": saved(tmp_path / "gray.png", grays),
        "bits": saved(tmp_path / "bits.png", grays.convert("1")),
        "transparent": saved(tmp_path / "alpha.png", Image.fromarray(np.dstack((PIXELS, PIXELS[..., :1])))),
        "palette": saved(tmp_path / "palette.png", palette, transparency=bytes(256)),
        "cmyk": saved(tmp_path / "cmyk.jpg", red.convert("CMYK"), quality=100),
        "animation": saved(tmp_path / "a.gif", red, save_all=True, append_images=[Image.new("RGB", (W, H), "blue")]),
    }
    read = {name: read_image(file, H, W).transpose(1, 2, 0) for name, file in shown.items()}
    assert (read["gray"] == PIXELS[..., :1]).all() and set(read["bits"].ravel()) == {0, 255}
    assert (read["transparent"] == PIXELS).all(), "transparency is dropped"
    for name in ("palette", "animation"):
        assert (read[name] == (255, 0, 0)).all(), name
    assert np.abs(read["cmyk"].astype(int) - (255, 0, 0)).max() < 8


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (W, H), depth: int = 8, color: int = 2) -> bytes:
    """A PNG file of these chunks after its header."""
    written = [(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)), *chunks, (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in written
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_png_of_16_bits_in_color_keeps_its_upper_bytes(tmp_path: Path) -> None:
    wide = (PIXELS.astype(np.uint16) * 256 + 200).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    (tmp_path / "a.png").write_bytes(png((b"IDAT", zlib.compress(rows)), depth=16))
    assert (read_image(tmp_path / "a.png", H, W).transpose(1, 2, 0) == PIXELS).all()


@pytest.mark.parametrize(
    ("mode", "ending", "message"),
    [
        ("I;16", "png", r"more than 8 bits a channel \(Pillow's mode I;16\); save it as 8-bit RGB"),
        ("F", "tiff", r"more than 8 bits a channel \(Pillow's mode F\)"),
        ("LAB", "tiff", r"pixels of another kind \(Pillow's mode LAB\)"),
    ],
)
def test_pixel_formats_that_have_no_one_meaning_are_refused(
    tmp_path: Path, mode: str, ending: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"a\.{ending} has {message}"):
        read_image(saved(tmp_path / f"a.{ending}", Image.new(mode, (W, H))), H, W)


def broken_tiff() -> bytes:
    buffer = io.BytesIO()
    RGB.save(buffer, "TIFF")
    return buffer.getvalue()[:-100]


BROKEN = {
    "bomb.png": (png(size=(60_000, 60_000)), r"is too large: Image size \(3600000000 pixels\) exceeds limit"),
    "claims.png": (png(size=(9_000, 9_000)), "is 9000 x 9000, its labels say 8 x 6"),
    "text.png": (
        png((b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))),
        "is damaged or was cut short: Decompressed data",
    ),
    "icon.png": (b"\0\0\1\0\1\0" + bytes(20), "is no image in PNG, JPEG, WEBP, BMP, GIF or TIFF format"),
    "vector.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\n", "is no image in PNG, JPEG"),
    "empty.png": (b"", "is damaged or was cut short, or is no image"),
    "header.png": (png()[:20], "is damaged or was cut short"),
    "chunk.png": (png((b"IHDR", b"\0")), "is damaged or was cut short"),
    "data.png": (png((b"IDAT", b"no zlib")), "is damaged or was cut short"),
    "cut.tiff": (broken_tiff(), "is damaged or was cut short"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_malicious_file_is_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} {message}|{name} .*{message}") as raised:
        read_image(tmp_path / name, H, W)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"cannot read .*a\.png: it is no regular file"):
        read_image(tmp_path / "a.png")


def test_bytes_changed_anywhere_in_a_file_are_an_image_or_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for ending in ("png", "jpg", "webp", "bmp", "gif", "tiff"):
        whole = saved(tmp_path / f"whole.{ending}", RGB).read_bytes()
        for trial in range(40):
            content = bytearray(whole)
            for index in rng.integers(0, len(content), 3):
                content[index] = rng.integers(256)
            file = tmp_path / f"{trial}.{ending}"
            file.write_bytes(content[: rng.integers(1, len(content) + 1)] if trial % 4 == 0 else content)
            try:
                assert read_image(file, H, W).shape == (3, H, W)
            except DataError as error:
                assert str(file) in str(error) and "\n" not in str(error)


def turned(file: Path, orientation: int) -> np.ndarray:
    """Save the image with an EXIF orientation; return it as a viewer shows it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    saved(file, RGB, exif=exif, **({"quality": 100, "subsampling": 0} if file.suffix == ".jpg" else {}))
    # By the words of the EXIF standard: where the first row and the first column of the file lie in the scene.
    shown = {
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: PIXELS[::-1].transpose(1, 0, 2),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: PIXELS[:, ::-1].transpose(1, 0, 2),
    }
    return shown.get(orientation, PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
def test_a_picture_that_exif_turns_is_read_as_its_labels_say(tmp_path: Path, ending: str, orientation: int) -> None:
    file = tmp_path / f"a.{ending}"
    shown = turned(file, orientation)
    tolerance = 30 if ending == "jpg" else 0
    upright = read_image(file, *shown.shape[:2]).transpose(1, 2, 0)
    assert np.abs(upright.astype(int) - shown).max() <= tolerance
    if shown.shape[:2] != (H, W):
        stored = read_image(file, H, W).transpose(1, 2, 0)
        assert np.abs(stored.astype(int) - PIXELS).max() <= tolerance
        with pytest.raises(DataError, match=r"a\.\w+ is . x ., its labels say 5 x 5"):
            read_image(file, 5, 5)


def test_exif_data_that_cannot_be_read_turn_nothing(tmp_path: Path) -> None:
    for content in (b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03", b"Exif\0\0nonsense", b"\xff" * 30):
        file = saved(tmp_path / "a.png", RGB, exif=content)
        assert (read_image(file, H, W).transpose(1, 2, 0) == PIXELS).all()
    turned(tmp_path / "b.png", 9)
    assert (read_image(tmp_path / "b.png", H, W).transpose(1, 2, 0) == PIXELS).all()


def test_an_image_of_any_size_is_scaled(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.png", RGB)
    assert (read_image(file).transpose(1, 2, 0) == PIXELS).all()
    scaled = read_resized(file, H // 2, W // 2)
    assert scaled.shape == (3, H // 2, W // 2)
    blocks = PIXELS.reshape(H // 2, 2, W // 2, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(scaled - blocks).max() <= 1
    turned = saved(tmp_path / "b.jpg", RGB, exif=_turned())
    assert read_image(turned).shape == (3, W, H)  # as a viewer shows it
    (tmp_path / "c.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="is no image"):
        read_resized(tmp_path / "c.png", 4, 4)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif

"""Lossless coders that everybody has, as a measure for a generator's files: of single images and of sequences."""

from __future__ import annotations

import functools
import io
import lzma
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.generators.palette import MAX_COLORS, Palette, colors_of

# Coders of ffmpeg: the files that they write, one for each image where the name has a number, and their options.
FFMPEG = {
    "JPEG XL": ("%06d.jxl", ("-c:v", "libjxl", "-distance", "0", "-effort", "9")),
    "FFV1": ("all.mkv", ("-c:v", "ffv1", "-level", "3", "-coder", "1", "-context", "1", "-g", "100000")),
    "x264": ("all.mkv", ("-c:v", "libx264rgb", "-qp", "0", "-preset", "veryslow", "-g", "100000")),
}
SEQUENCES = ("xz", "FFV1", "x264")  # may use that images resemble each other


def sizes(images: Tensor, on_coder: Callable[[str], None] = lambda name: None) -> dict[str, int]:
    """Return the bytes that each coder needs for images (N, 3, H, W) uint8, containers included.

    Coders of ffmpeg are left out where it is not installed. on_coder: called with the name of each before it begins.
    """
    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    ffmpeg = _ffmpeg()
    coders: dict[str, Callable[[], int]] = {
        "PNG": lambda: sum(_pillow_bytes(image, "PNG", optimize=True) for image in pixels),
        "WebP": lambda: sum(
            _pillow_bytes(image, "WEBP", lossless=True, quality=100, method=6, exact=True) for image in pixels
        ),
        "xz": lambda: len(lzma.compress(_symbols(images), preset=9 | lzma.PRESET_EXTREME)),
    }
    if ffmpeg:
        for name, (ending, options) in FFMPEG.items():
            coders[name] = functools.partial(_ffmpeg_bytes, ffmpeg, pixels, ending, options)
    result = {}
    for name, measure in coders.items():
        on_coder(name)
        result[name] = measure()
    return result


def _pillow_bytes(image: np.ndarray, kind: str, **options: Any) -> int:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return len(stream.getvalue())


def _symbols(images: Tensor) -> bytes:
    """Return a byte a pixel where there are few colors, else three."""
    colors = colors_of(images)
    if len(colors) > MAX_COLORS:
        return images.contiguous().numpy().tobytes()
    return Palette(colors).index(images).numpy().astype(np.uint8).tobytes()


def _ffmpeg() -> str | None:
    try:
        import imageio_ffmpeg  # films of agents need it, generators alone do not

        path: str = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None
    return path


def _ffmpeg_bytes(ffmpeg: str, pixels: np.ndarray, ending: str, options: tuple[str, ...]) -> int:
    count, height, width, _ = pixels.shape
    with tempfile.TemporaryDirectory() as folder:
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "15", "-i", "-"]
        command = [ffmpeg, "-v", "error", "-nostdin", *source, *options, str(Path(folder) / ending)]
        try:
            subprocess.run(command, input=pixels.tobytes(), check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            raise SaveError(f"ffmpeg wrote no file: {said[-1] if said else error}") from error
        files = list(Path(folder).iterdir())
        assert len(files) == (count if "%" in ending else 1), f"{options} wrote {len(files)} files for {count} images"
        return sum(file.stat().st_size for file in files)

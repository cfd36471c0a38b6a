"""Other coders: they are lossless, and sizes are those of their files."""

from __future__ import annotations

import io
import lzma
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import vision_data
from PIL import Image

from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.generators import reference_coders


def test_sizes_are_of_whole_files() -> None:
    images = vision_data.dataset().splits["train"].images[:3]
    sizes = reference_coders.sizes(images)
    assert set(sizes) == {"PNG", "WebP", "xz", *reference_coders.FFMPEG}
    stream = io.BytesIO()
    total = 0
    for image in images.permute(0, 2, 3, 1).numpy():
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG", optimize=True)
        total += len(stream.getvalue())
    assert sizes["PNG"] == total
    assert min(sizes.values()) > 20


@pytest.mark.parametrize("name", ["FFV1", "x264"])
def test_sequences_of_ffmpeg_come_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    images = vision_data.dataset().splits["train"].images[:6].permute(0, 2, 3, 1).contiguous().numpy()
    ending, options = reference_coders.FFMPEG[name]
    ffmpeg, file = imageio_ffmpeg.get_ffmpeg_exe(), tmp_path / ending
    size = f"{vision_data.W}x{vision_data.H}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "15", "-i", "-"]
    subprocess.run([ffmpeg, "-v", "error", *source, *options, str(file)], input=images.tobytes(), check=True)
    back = [ffmpeg, "-v", "error", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(back, capture_output=True, check=True).stdout
    assert np.array_equal(np.frombuffer(decoded, np.uint8).reshape(images.shape), images)


def test_xz_reads_a_byte_a_pixel_of_few_colors_and_three_of_many() -> None:
    few = vision_data.dataset().splits["train"].images[:2]
    many = torch.randint(256, (2, 3, 40, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert len(reference_coders._symbols(few)) == 2 * 40 * 32
    assert reference_coders._symbols(many) == many.numpy().tobytes()
    assert reference_coders.sizes(many)["xz"] == len(
        lzma.compress(many.numpy().tobytes(), preset=9 | lzma.PRESET_EXTREME)
    )


def test_what_ffmpeg_cannot_write_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(
            1, command, stderr=b"av_interleaved_write_frame(): No space left on device\n"
        )

    monkeypatch.setattr(reference_coders.subprocess, "run", full)
    with pytest.raises(SaveError, match=r"ffmpeg wrote no file: .*No space left on device"):
        reference_coders.sizes(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_without_ffmpeg_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: (_ for _ in ()).throw(RuntimeError("none")))
    assert set(reference_coders.sizes(vision_data.dataset().splits["val"].images)) == {"PNG", "WebP", "xz"}

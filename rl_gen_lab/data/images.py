"""Image files of any origin as arrays of 8-bit RGB: their formats, their pixel formats, their EXIF orientation.

What is read: PNG, JPEG, WebP, BMP, GIF and TIFF, of the pixel formats that convert to 8-bit RGB without a choice: grays
(of one bit as well), palettes, RGB, CMYK and YCbCr. Transparency is dropped, the first image of an animation is taken;
a 16-bit PNG in color loses its lower bytes. Grays and floats of more than 8 bits are refused: how they are scaled is up
to their owner.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from rl_gen_lab.cli.regular_file import open_regular
from rl_gen_lab.data.records import DataError, one_line

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # Pillow's other decoders are rarely used, and rarely tested
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# What brings an image into the position in which its camera's owner sees it. Source: EXIF 2.3, tag 274.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPED = (5, 6, 7, 8)
NO_SIZE = (None, None)  # of images without labels


def find_image(folder: Path, places: Sequence[Path], name: str, error: Callable[[str], DataError]) -> Path:
    """Return the first of `places` / `name` that is a file of the folder.

    error: makes the exception that is raised from what is wrong: a name that leads out of the folder, or to no file.
    """
    paths = [Path(os.path.normpath(place / name)) for place in places]
    inside = [path for path in paths if Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))]
    if not inside:
        raise error(f"names the image {one_line(name)}, which is outside of {folder}")
    try:
        file = next((path for path in inside if path.is_file()), None)
    except OSError as problem:  # a name that is too long, a folder that is locked
        raise error(f"names the image {one_line(name)}: {problem.strerror}") from problem
    if file is None:
        raise error(f"names the image {one_line(name)}, which lies in none of {', '.join(map(str, places))}")
    return file


def read_image(file: Path, height: int | None = None, width: int | None = None) -> np.ndarray:
    """Read an image, (3, H, W) uint8 RGB, as those who labeled it saw it; without a size as viewers show it.

    Where its EXIF data turn it, the size in its labels tells whether they are of the stored image or of the turned one;
    where both are of this size, of the turned one, which viewers and browsers show. Raises DataError for a file that is
    damaged, of another format or of another size.
    """
    try:
        # Warnings are of metadata that is not used, and of sizes that are compared with the labels below.
        with (
            warnings.catch_warnings(action="ignore"),
            open_regular(file) as opened,
            Image.open(opened, formats=FORMATS) as image,
        ):
            turned = _check_size(file, image, (height, width))
            if image.mode not in MODES:
                what = "more than 8 bits a channel" if image.mode.startswith(("I", "F")) else "pixels of another kind"
                raise DataError(f"{file} has {what} (Pillow's mode {image.mode}); save it as 8-bit RGB")
            converted = image.convert("RGB")
            pixels = np.asarray(converted if turned is None else converted.transpose(turned))
    except DataError:
        raise
    except UnidentifiedImageError as error:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise DataError(f"{file} is damaged or was cut short, or is no image in {known} format") from error
    except (MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} is too large: {one_line(error) or 'out of memory'}") from error
    except Exception as error:  # decoders raise nearly every exception for files that are broken
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot read {file}: {error.strerror}") from error
        reason = one_line(error) or type(error).__name__
        raise DataError(f"{file} is damaged or was cut short: {reason}") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_resized(file: Path, height: int, width: int) -> np.ndarray:
    """Read an image of any size and scale it, (3, height, width) uint8 RGB. Raises DataError as `read_image` does."""
    pixels = read_image(file).transpose(1, 2, 0)
    scaled = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))


def _check_size(file: Path, image: Image.Image, wanted: tuple[int | None, int | None]) -> Image.Transpose | None:
    """Return the transpose that makes an image match its labeled size; None if none is needed. Raises DataError."""
    size = image.size[::-1]
    # Before anything is decoded: a small file can claim any size.
    orientation = _orientation(image) if wanted in (size, size[::-1], NO_SIZE) else 1
    other = size[::-1] if orientation in SIDES_SWAPPED else size
    turned_by_pillow = image.format == "TIFF"  # while it decodes, and in `size` already
    stored, upright = (other, size) if turned_by_pillow else (size, other)
    if wanted not in (stored, upright, NO_SIZE):
        raise DataError(f"{file} is {size[1]} x {size[0]}, its labels say {wanted[1]} x {wanted[0]}")
    turn = wanted in (upright, NO_SIZE)
    if orientation not in UPRIGHT or turn == turned_by_pillow:
        return None
    return UPRIGHT[orientation if turn else {6: 8, 8: 6}.get(orientation, orientation)]


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none that can be read."""
    if image.format != "TIFF":  # which forgets its orientation
        image.load()  # as `getexif` of a PNG does: an error of the decoder is none of the metadata
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken metadata of an image that may be whole
        return 1
    return value if isinstance(value, int) else 1

"""What the header of a packed vision model or generator says: what is kept of its run, to build the network by.

    {"run": {"exp_name": "segment_unet", "image_size": [210, 160], "categories": ["ball", "paddle"],
             "config": {"task": "segment", "segment": {"model": "unet", ...}}, ...}}

Beside that a captioner has a vocabulary and a grammar, a detector the sizes of objects, a generator its colors, and a
model of which layers were changed the plans of these changes.
"""

from __future__ import annotations

from math import prod
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression.header import LARGEST, check_table, is_numbers, is_plans, is_size, is_text, is_texts
from rl_gen_lab.data.vocabulary import SPECIAL, words

# what a packed file keeps of config.json
KEPT = ("exp_name", "image_size", "categories", "vocabulary", "sizes", "grammar", "colors")
MOST_PIXELS = 1 << 24  # of an image
MOST_MASK_PIXELS = 1 << 28  # of the masks of an object of each category, which are looked through
SMALLEST_SIDE = 1e-3  # of an object [px]


def check_run(metadata: Any, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return what a header keeps of a run, if that is what a program of this version writes.

    tasks: those of which there are packed models. Raises: CheckpointError naming the key that makes no sense.
    """
    if not isinstance(metadata, dict) or not isinstance(metadata.get("config"), dict):
        raise CheckpointError("the packed file holds no vision model and no generator")
    needed = {"exp_name": is_text, "image_size": _is_image_size, "categories": is_texts}
    more = {"vocabulary": _is_vocabulary, "sizes": _are_sizes, "grammar": _is_grammar, "colors": _are_colors}
    checked = check_table(metadata, "its run", needed | {"config": lambda _: True}, more | {"plans": is_plans})
    config = metadata["config"]
    task = config.get("task")
    if not isinstance(task, str) or task not in tasks:
        raise CheckpointError("its settings cannot be read: they are of no task that is known")
    check_table(config, "its settings", {"task": is_text, task: lambda value: isinstance(value, dict)})
    if prod(metadata["image_size"]) * len(metadata["categories"]) > MOST_MASK_PIXELS:
        raise CheckpointError("its run cannot be read: its categories and its image are too many and too large")
    return checked


def _is_image_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_size, value)) and prod(value) <= MOST_PIXELS


def _is_vocabulary(value: Any) -> bool:
    """Return whether a value lists words as `Vocabulary` numbers them."""
    if not is_texts(value) or value[: len(SPECIAL)] != list(SPECIAL):
        return False
    known = value[len(SPECIAL) :]
    return known == sorted(known) and all(words(word) == [word] for word in known)


def _are_sizes(value: Any) -> bool:
    """Return whether a value holds widths and heights of objects, as `anchors.sizes_metadata` writes them."""
    if not isinstance(value, dict) or set(value) != {"common", "largest"} or not isinstance(value["common"], list):
        return False
    pairs = [*value["common"], value["largest"]]
    return len(pairs) > 1 and all(is_numbers(pair, SMALLEST_SIDE, LARGEST) and len(pair) == 2 for pair in pairs)


def _is_grammar(value: Any) -> bool:
    return isinstance(value, dict) and all(is_texts(patterns) for patterns in value.values())


def _are_colors(value: Any) -> bool:
    colors = value if isinstance(value, list) else []
    if not all(isinstance(color, list) and all(type(part) is int for part in color) for color in colors):
        return False
    return len(colors) > 0 and all(len(color) == 3 and is_numbers(color, 0, 255) for color in colors)

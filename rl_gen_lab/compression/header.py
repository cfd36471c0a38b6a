"""What the header of a packed file may say: a schema for each of its tables, and bounds for all that stands in it.

A schema has a check for each key. Whoever reads a table names its schema, so that nothing behind it meets a value of
another type or size. The checksum says nothing about that: whoever makes a file also makes its checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError

LONGEST_TEXT = 512  # characters of a text, also of a key
DEEPEST = 12  # tables and lists within each other
LARGEST = 4_096  # of a side of an image, channels, actions
MOST_PLANS = 100
Check = Callable[[Any], bool]


def check_table(value: Any, what: str, needed: Mapping[str, Check], more: Mapping[str, Check] = {}) -> dict[str, Any]:
    """Return a table of a header that has the needed keys, perhaps some more, and values that pass their checks.

    what: the table in words, such as "its network". Raises: CheckpointError naming the key.
    """
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} cannot be read: it is no table")
    if wrong := _beyond(value):
        raise CheckpointError(f"{what} cannot be read: {wrong}")
    if missing := [key for key in needed if key not in value]:
        raise CheckpointError(f"{what} cannot be read: it has no {missing[0]}")
    checks = {**needed, **more}
    for key, entry in value.items():
        if key not in checks:
            raise CheckpointError(f"{what} cannot be read: {key!r} is not known in this version")
        if not checks[key](entry):
            raise CheckpointError(f"{what} cannot be read: its {key} makes no sense")
    return value


def _beyond(value: Any, depth: int = 0) -> str | None:
    """Return which bound a value exceeds, or a part of it; None where all keep within them."""
    if depth > DEEPEST:
        return f"it is nested more than {DEEPEST} times"
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or not value.isprintable()):
        return f"a text in it has more than {LONGEST_TEXT} characters, or some that cannot be printed"
    parts = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((wrong for part in parts if (wrong := _beyond(part, depth + 1))), None)


def is_text(value: Any) -> bool:
    """Return whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_flag(value: Any) -> bool:
    """Return whether a value is true or false."""
    return isinstance(value, bool)


def is_texts(value: Any) -> bool:
    """Return whether a value is a list of texts, none of them twice."""
    return isinstance(value, list) and all(map(is_text, value)) and len(set(value)) == len(value)


def is_size(value: Any) -> bool:
    """Return whether a value is a number of pixels, channels or actions."""
    return type(value) is int and 1 <= value <= LARGEST


def is_numbers(value: Any, low: float, high: float) -> bool:
    """Return whether a value is a list of numbers of a range, not empty."""
    return isinstance(value, list) and len(value) > 0 and all(_is_number(part, low, high) for part in value)


def _is_number(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def is_plans(value: Any) -> bool:
    """Return whether a value is a list of stages that changed layers, each with the plan that `stages.rebuild` reads.

    A plan is a table of new sizes by name (`structured`) or a list of factored layers (`low_rank`).
    """
    return isinstance(value, list) and len(value) <= MOST_PLANS and all(map(_is_plan, value))


def _is_plan(value: Any) -> bool:
    kind, plan = value if isinstance(value, list) and len(value) == 2 else (None, None)
    if not is_text(kind):
        return False
    if isinstance(plan, dict):
        return all(type(size) is int for size in plan.values())
    return isinstance(plan, list) and all(map(_is_factored, plan))


def _is_factored(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"layer", "kind", "ranks"}:
        return False
    ranks = value["ranks"]
    return is_text(value["layer"]) and is_text(value["kind"]) and isinstance(ranks, list) and all(map(is_size, ranks))

"""The ranges of numbers, annotated at the types of settings as `annotated_types.Interval`, and their one check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError


def check_ranges(config: object) -> None:
    """Refuse a number of a dataclass that is out of its stated range. Raises: ConfigError, naming the field."""
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        if wrong := out_of_range(getattr(config, name), hint):
            raise ConfigError(f"{name} {wrong}")


def out_of_range(value: object, hint: Any) -> str | None:
    """Return what is wrong with a number, or a number of a tuple, by the range in its type; None where nothing is."""
    for x in value if isinstance(value, tuple) else (value,):
        for r in ranges_in(hint) if isinstance(x, int | float) else ():
            low, high = x > r.gt if r.ge is None else x >= r.ge, x < r.lt if r.le is None else x <= r.le
            if not (low and high):  # NaN is neither
                return f"must be {in_words(r)}, not {x}"
    return None


def ranges_in(hint: Any) -> Iterator[Any]:
    """Yield the ranges of a type, and of those that it is made of."""
    yield from (hint,) if isinstance(hint, Interval) else (r for part in get_args(hint) for r in ranges_in(part))


def in_words(r: Any) -> str:
    """Return a range as in "from 1 to 10" or "above 0 up to 1"."""
    powers = {10**9: "10^9", 10**12: "10^12", -(10**12): "-10^12", 2**63: "2^63"}
    gt, ge, lt, le = (powers.get(bound, f"{bound or 0:,}") for bound in (r.gt, r.ge, r.lt, r.le))
    low = f"above {gt} up" if r.ge is None else f"from {ge}"
    return f"{low} to below {lt}" if r.le is None else f"{low} to {le}"

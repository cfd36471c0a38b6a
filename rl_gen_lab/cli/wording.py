"""Numbers of things, and lists of them, in words."""

from collections.abc import Sequence


def plural(amount: int, noun: str) -> str:
    """Return the form of a regular noun for so many: "run" for 1, otherwise "runs"."""
    return noun if amount == 1 else f"{noun}s"


def count(amount: int, noun: str) -> str:
    """Format a number of things: "1 run", "3,000 runs"."""
    return f"{amount:,} {plural(amount, noun)}"


def listed(words: Sequence[str]) -> str:
    """List words in a sentence: "unet", "patch and fcn", "rcnn, ssd and yolo"."""
    return " and ".join([", ".join(words[:-1]), words[-1]][len(words) == 1 :])

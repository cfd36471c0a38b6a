"""Errors that a user can correct, and the hint that helps to correct them.

Everything else is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Base of every error that a user can correct: one clear line that says what to do."""


class ConfigError(UserError):
    """A setting has an unknown name, a wrong type, or a value that cannot work."""


class CheckpointError(UserError):
    """A saved file is missing, cut short, damaged, or written by another version."""


class SaveError(UserError):
    """A file could not be written (disk full, no permission); what was saved before is still whole."""


class DivergedError(UserError):
    """A loss or a weight became NaN or infinite."""


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `choices`, or "" where none is near. Ignores case."""
    by_lower = {choice.lower(): choice for choice in choices}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[matches[0]]}'?" if matches else ""

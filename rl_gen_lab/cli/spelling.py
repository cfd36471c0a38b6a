"""Settings that older commands, presets and run folders spell with an s: `normalise_obs` is `normalize_obs` now."""

import re
from typing import Any

# The last part of a setting's dotted name, or of a flag with or without "no".
EARLIER = re.compile(r"(^|[.-]|no[_-])(normali|standardi)se(?=$|[_-](?:obs|advantages|rewards)$)")
CURRENT = re.compile(r"(^|\.)(normalize_(?:obs|advantages|rewards)|standardize)$")


def current_spelling(name: str) -> str:
    """Return the name of a setting, or a flag, as it is spelled now."""
    return EARLIER.sub(r"\1\2ze", name)


def earlier_spelling(name: str) -> str:
    """Return the dotted name of a setting as earlier versions spelled it."""
    return CURRENT.sub(lambda match: match[0].replace("ize", "ise"), name)


def current_flags(argv: list[str]) -> list[str]:
    """Return a command line with its flags, not their values, as they are spelled now."""
    words = (word.partition("=") for word in argv)
    return ["".join((current_spelling(flag) if flag.startswith("--") else flag, *rest)) for flag, *rest in words]


def current_keys(values: Any) -> Any:
    """Return nested JSON values with the keys of their objects as they are spelled now."""
    if isinstance(values, dict):
        return {current_spelling(key): current_keys(value) for key, value in values.items()}
    return [current_keys(value) for value in values] if isinstance(values, list) else values

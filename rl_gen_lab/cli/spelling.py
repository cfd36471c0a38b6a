"""Settings that older commands, presets and run folders spell with an s: `normalise_obs` is `normalize_obs` now."""

from typing import Any


def current_spelling(name: str) -> str:
    """Return the name of a setting, or a flag, as it is spelled now."""
    return name.replace("normalise", "normalize").replace("standardise", "standardize")


def current_flags(argv: list[str]) -> list[str]:
    """Return a command line with its flags, not their values, as they are spelled now."""
    words = (word.partition("=") for word in argv)
    return ["".join((current_spelling(flag) if flag.startswith("--") else flag, *rest)) for flag, *rest in words]


def current_keys(values: Any) -> Any:
    """Return nested JSON values with the keys of their objects as they are spelled now."""
    if isinstance(values, dict):
        return {current_spelling(key): current_keys(value) for key, value in values.items()}
    return [current_keys(value) for value in values] if isinstance(values, list) else values

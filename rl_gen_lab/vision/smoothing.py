"""The check of a label-smoothing setting, which every task has.

Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7.
"""

from __future__ import annotations

from rl_gen_lab.cli.errors import ConfigError


def check_smoothing(share: float) -> None:
    """Raises: ConfigError for a value outside of [0, 1]."""
    if not 0 <= share <= 1:
        raise ConfigError(f"label_smoothing must be between 0 and 1, not {share}")

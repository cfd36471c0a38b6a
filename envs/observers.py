"""What observes for an agent, by `world.observe`."""

from __future__ import annotations

from envs.config import EnvConfig

CODE_KINDS = ("vae", "dream")  # models whose codes of frames are the observation; all others find objects


def observes_codes(config: EnvConfig) -> bool:
    """Return whether the observation is codes of frames."""
    return config.observe.partition(":")[0] in CODE_KINDS

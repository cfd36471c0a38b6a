"""An agent at play in a window of the environment's own, where there is a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from agents.training.episode import Moment, moments
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.cli.errors import ConfigError


def open_screen() -> None:
    """Let environments open windows. Raises: ConfigError where there is no screen."""
    driver = os.environ.get("SDL_VIDEODRIVER", "dummy")
    if driver != "dummy":  # the user's own choice; without one, envs/factory.py sets dummy
        return
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigError(
            "there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): leave out --render human,"
            " and the play is recorded as a video"
        )
    os.environ.pop("SDL_VIDEODRIVER", None)


def watch(
    env_id: str,
    world: EnvConfig,
    policy: Policy,
    seed: int,
    *,
    epsilon: float,
    max_steps: int,
    on_step: Callable[[int], None],
) -> tuple[float, bool]:
    """Play one episode of at most `max_steps` agent steps in a window; return its return and whether it ended.

    Raises: ConfigError for an environment without a window; EnvStepError.
    """
    env = make_env(env_id, without_fire_reset(world), render_mode="human")
    try:
        if env.render_mode != "human":
            raise ConfigError(f"{env_id} offers no window (render mode human): leave out --render human")
        # An environment with a window draws itself at each step.
        end = Moment(None, None, 0.0)
        for steps, end in enumerate(moments(env, env_id, policy, seed, epsilon=epsilon, max_steps=max_steps)):  # noqa: B007
            on_step(steps)
    finally:
        close_quietly(env)
    return end.total, end.ended

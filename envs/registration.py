"""Registrations of ale-py's Atari environment: each of their keywords holds, or is refused in one line.

- game, mode, difficulty, continuous and its threshold: as registered
- repeat_action_probability: as registered, unless `sticky` is set
- frameskip (but 1: none of its own), max_num_frames_per_episode, max_episode_steps [agent steps], full_action_space: as
  registered where the setting has its default
- obs_type "rgb" or "grayscale", render_mode: the pipeline's, which reads the screen and opens no window
- frameskip (low, high), obs_type "ram", sound_obs, additional_wrappers, and what ale-py does not know: refused
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from ale_py import AtariEnv

from envs import names
from envs.config import EnvConfig, UnknownEnvError

DEFAULTS = {
    name: None if parameter.default is parameter.empty else parameter.default
    for name, parameter in inspect.signature(AtariEnv.__init__).parameters.items()
    if name != "self"
}
VARIANT = ("mode", "difficulty")  # what ale-py's vector environment cannot set


class UnusableEnvError(UnknownEnvError):
    """The environment is registered but cannot be made, or not with these settings; the message says why."""


def keywords(env_id: str) -> dict[str, Any]:
    """Return all keywords of an Atari id, defaults included. Raises: UnusableEnvError for what cannot hold."""
    spec = names.spec(env_id)
    words = DEFAULTS | spec.kwargs
    problem = None
    if unknown := sorted(words.keys() - DEFAULTS.keys()):
        problem = f"{', '.join(unknown)}, which ale-py does not know: leave it out"
    elif not isinstance(words["game"], str):
        problem = "no game: register it with game='pong' or another"
    elif not isinstance(words["frameskip"], int):
        problem = (
            f"frameskip {words['frameskip']}, a random number of frames a step, and here it is fixed:"
            " register a number, as the ids ALE/*-v5 and *NoFrameskip-v4 do"
        )
    elif words["obs_type"] not in ("rgb", "grayscale"):
        problem = f"obs_type {words['obs_type']!r}, and agents read the screen here: leave it out"
    elif words["sound_obs"]:
        problem = "sound_obs, and agents do not hear: leave it out"
    elif spec.additional_wrappers:
        wrappers = ", ".join(wrapper.name for wrapper in spec.additional_wrappers)
        problem = (
            f"wrappers ({wrappers}), which would see every frame, below frame skip and stack, and no observation:"
            " leave them out, or register a function that makes the environment with all of its wrappers"
        )
    if problem is not None:
        raise UnusableEnvError(f"env {env_id!r} cannot be made: it is registered with {problem}")
    return words


def variant_of(env_id: str) -> dict[str, int]:
    """Return mode and difficulty of an Atari id, those that it registers."""
    words = keywords(env_id)
    return {name: words[name] for name in VARIANT if words[name] is not None}


def as_registered(env_id: str, config: EnvConfig) -> EnvConfig:
    """Return the settings in force for an id: an Atari id's own where they have their defaults.

    Raises: UnusableEnvError for a registration that cannot hold.
    """
    if not names.is_atari(env_id):
        return config
    words, steps = keywords(env_id), names.spec(env_id).max_episode_steps
    config = replace(config, full_action_space=config.full_action_space or bool(words["full_action_space"]))
    if config.frame_skip == EnvConfig.frame_skip and words["frameskip"] != 1:
        config = replace(config, frame_skip=words["frameskip"])
    limits = [words["max_num_frames_per_episode"], None if steps is None else steps * words["frameskip"]]
    given = [limit for limit in limits if limit]
    if given and config.max_episode_frames == EnvConfig.max_episode_frames:
        config = replace(config, max_episode_frames=min(given))
    return config

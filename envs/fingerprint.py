"""Fingerprint of a task, in words and as a hash: two scores may be ranked only if their fingerprints are equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from envs import names
from envs.atari import fire_reset_of, sticky_of
from envs.config import MAX_EPISODE_FRAMES, EnvConfig
from envs.factory import Wrapper, is_capped, make_vec
from envs.observers import observes_codes
from envs.registration import as_registered, keywords, variant_of

Field = str | int | float | bool | None


@dataclass(frozen=True)
class Fingerprint:
    """`text`: one line for people; `hash`: 12 hex digits of `fields`; `fields`: what comparable scores share.

    `reading`: what the observation is read as, in words; of no weight in comparisons.
    """

    text: str
    hash: str
    fields: dict[str, Field]
    reading: str = ""

    @property
    def described(self) -> str:
        """Two lines for people: the task, and what its observation is read as."""
        return f"task {self.hash}: {self.text}\nobservation: {self.reading}"


def fingerprint(
    env_id: str, config: EnvConfig, observe: Wrapper | None = None, detector: str | None = None, **protocol: Field
) -> Fingerprint:
    """Return the fingerprint of an environment as it is *scored*, with the rules of evaluation (`protocol`).

    observe: as in `make_vec`; detector: the name of the model that detects objects (None: `config.observe`).

    Settings of the learner (clipped rewards, lives and points as termination) are left out: they do not change the
    meaning of a score.
    """
    config = as_registered(env_id, config)
    env = make_vec(env_id, 1, config, observe=observe)
    observation, action = env.single_observation_space, env.single_action_space
    reading = _reading(env, env_id, config)
    env.close()
    fields: dict[str, Field] = {
        "env_id": env_id,
        "observation": f"{observation.shape} {observation.dtype}",
        "actions": str(action),
        "gymnasium": _minor("gymnasium"),
    }
    text = f"{env_id} {observation.shape} {action}"
    if names.is_atari(env_id):
        fields |= {
            "sticky": sticky_of(env_id, config),
            "frame_skip": config.frame_skip,
            "max_pool": config.max_pool,
            "image_size": config.image_size,
            "grayscale": config.grayscale,
            "frame_stack": config.frame_stack,
            "noop_max": config.noop_max,
            "full_action_space": config.full_action_space,
            "fire_reset": fire_reset_of(env_id, config),
            "max_episode_frames": config.max_episode_frames,
            "ale_py": _minor("ale-py"),
        }
        color = "grey" if config.grayscale else "rgb"
        text = (
            f"{env_id} sticky {fields['sticky']} skip {config.frame_skip} {color} {config.image_size}px"
            f" stack {config.frame_stack} noop {config.noop_max}"
        )
        if variant := variant_of(env_id):
            fields |= variant
            text += "".join(f" {word} {number}" for word, number in variant.items())
        if isinstance(action, spaces.Box):
            fields["continuous_action_threshold"] = float(keywords(env_id)["continuous_action_threshold"])
        text += f" {action}"
    else:
        if len(observation.shape or ()) == 3:  # three gray frames and one RGB frame have the same shape
            fields |= {"grayscale": config.grayscale, "frame_stack": config.frame_stack}
        if is_capped(env_id):
            fields |= {"max_episode_frames": config.max_episode_frames}
    if fields.get("max_episode_frames", MAX_EPISODE_FRAMES) != MAX_EPISODE_FRAMES:
        text += f" cap {config.max_episode_frames}"
    if config.observe != "pixels":
        fields["observe"] = config.observe if detector is None else detector
        if not observes_codes(config):
            fields["slots"] = "velocities since the last step, no scores"
        text += f" seen as {fields['observe']}"
    fields |= protocol
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
    rules = "".join(f", {key} {value}" for key, value in protocol.items() if value is not None)
    return Fingerprint(text + rules, digest, fields, reading)


def _reading(env: VectorEnv[Any, Any, Any], env_id: str, config: EnvConfig) -> str:
    if observes_codes(config):
        return f"a vector of {np.prod(env.single_observation_space.shape or ())} numbers: codes of frames"
    if config.observe != "pixels":
        return f"a vector of {np.prod(env.single_observation_space.shape or ())} numbers: objects, and how they move"
    if not names.is_atari(env_id):
        return str(env.get_attr("reading")[0])  # type: ignore[attr-defined]
    color, size = "gray" if config.grayscale else "colors", config.image_size
    return f"the screen, in {color}, scaled to {size}x{size}, {config.frame_stack} in a stack"


def _minor(distribution: str) -> str:
    """Return major and minor version: patch releases keep the task."""
    return ".".join(version(distribution).split(".")[:2])

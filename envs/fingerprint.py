"""The task in a few words and a hash: two scores may be ranked only if their fingerprints are equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version

from envs import names
from envs.atari import fire_reset_of, sticky_of
from envs.config import MAX_EPISODE_FRAMES, EnvConfig
from envs.factory import Wrapper, is_capped, make_vec

Field = str | int | float | bool | None


@dataclass(frozen=True)
class Fingerprint:
    """`text`: one line for people; `hash`: 12 hex digits of `fields`; `fields`: what makes two scores comparable."""

    text: str
    hash: str
    fields: dict[str, Field]


def fingerprint(
    env_id: str, config: EnvConfig, observe: Wrapper | None = None, seen_as: str | None = None, **protocol: Field
) -> Fingerprint:
    """Return the fingerprint of an environment as it is *scored*, with the rules of evaluation (`protocol`).

    observe: as in `make_vec`; seen_as: the name of the model that sees for the agent (None: `config.observe`).

    What only the learner sees (clipped rewards, lives and points as termination) is left out: it changes no score's
    meaning.
    """
    env = make_vec(env_id, 1, config, observe=observe)
    observation, action = env.single_observation_space, env.single_action_space
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
        colour = "grey" if config.grayscale else "rgb"
        text = (
            f"{env_id} sticky {fields['sticky']} skip {config.frame_skip} {colour} {config.image_size}px"
            f" stack {config.frame_stack} noop {config.noop_max} {action}"
        )
    else:
        if len(observation.shape or ()) == 3:  # three grey frames and one RGB frame have the same shape
            fields |= {"grayscale": config.grayscale, "frame_stack": config.frame_stack}
        if is_capped(env_id):
            fields |= {"max_episode_frames": config.max_episode_frames}
    if fields.get("max_episode_frames", MAX_EPISODE_FRAMES) != MAX_EPISODE_FRAMES:
        text += f" cap {config.max_episode_frames}"
    if config.observe != "pixels":
        fields["observe"] = config.observe if seen_as is None else seen_as
        fields["slots"] = "velocities since the last step, no scores"
        text += f" seen as {fields['observe']}"
    fields |= protocol
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
    rules = "".join(f", {key} {value}" for key, value in protocol.items() if value is not None)
    return Fingerprint(text + rules, digest, fields)


def _minor(distribution: str) -> str:
    """Major and minor version: patch releases keep the task."""
    return ".".join(version(distribution).split(".")[:2])

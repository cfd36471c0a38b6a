"""One agent in several stages, asked about the same frames: followed through training, compression and defense.

The frames are those of one game play. Each stage is asked about the action that it would take there itself: the maps
of a decision that it would not make say nothing about it. What differs between two stages is the network alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from agents.analysis import map_scores
from agents.analysis.causal import stacked
from agents.analysis.explained import TargetName, explained, without_mean
from agents.analysis.explanation import Explanation, Row
from agents.analysis.frames import Kept
from agents.rl.interfaces import Policy
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain import drawing
from rl_gen_lab.explain.controls import NETWORK_FREE
from rl_gen_lab.explain.methods import method_of
from rl_gen_lab.explain.model import Explained

# Settings of an environment that decide what an agent sees and may do; the others concern learning and scores.
SEEN = ("observe", "frame_skip", "max_pool", "image_size", "grayscale", "frame_stack", "full_action_space", "sticky")
SHOWN = 2  # frames in the picture: where most is at stake, and the middle one


@dataclass(frozen=True)
class Stage:
    """An agent at one stage. name: within the table; source: its run folder or file."""

    name: str
    source: str
    policy: Policy
    model: Explained


def stage_of(name: str, source: str, policy: Policy, target: TargetName, baseline: Tensor) -> Stage:
    """Return a stage. baseline: (C, H, W), of networks that subtract no mean frame. Raises: ConfigError."""
    try:
        model, _ = explained(policy, target)
    except ConfigError as error:
        raise ConfigError(f"the stage {source}, {name}: {error}") from error
    return Stage(name, source, policy, replace(model, baseline=baseline) if without_mean(model) else model)


def refuse_other_views(source: str, env: str, world: EnvConfig, of_env: str, of_world: EnvConfig) -> None:
    """Raise ConfigError for a stage that does not see the frames of the agent that plays."""
    if env != of_env:
        raise ConfigError(f"the stage {source} plays {env}, the agent {of_env}: stages are asked about the same frames")
    if other := [name for name in SEEN if getattr(world, name) != getattr(of_world, name)]:
        raise ConfigError(
            f"the stage {source} sees other frames than the agent (world.{other[0]} is {getattr(world, other[0])!r}"
            f" instead of {getattr(of_world, other[0])!r}): stages are asked about the same frames"
        )


def asked(kept: Sequence[Kept], policy: Policy) -> list[Kept]:
    """Return the same frames with the action that this policy scores highest, and its scores."""
    found = []
    for one in kept:
        _, scores = policy.choose(one.seen.obs[None], np.array([True]))
        if scores is None:
            raise ConfigError("this agent has no scores of single actions: agents of discrete actions can be explained")
        found.append(replace(one, seen=replace(one.seen, action=int(scores[0].argmax()), scores=scores[0])))
    return found


def agreement(kept: Sequence[Kept], own: Sequence[Kept]) -> float:
    """Return the share of frames at which a stage takes the action that was played."""
    return float(np.mean([a.seen.action == b.seen.action for a, b in zip(kept, own, strict=True)]))


def rows(explanation: Explanation, kept: Sequence[Kept], stages: Sequence[Stage]) -> list[Row]:
    """Score where every method's maps lie, at every stage, on the same frames; rows of one stage lie together.

    With games, each stage is also scored by as many whole ones, on the same seeds.
    """
    found: list[Row] = []
    for stage in stages:
        print(f"{stage.source}, {stage.name}", flush=True)
        own, about = asked(kept, stage.policy), dict[str, Any](stage=stage.name, source=stage.source)
        about["same_action"] = agreement(kept, own)
        if explanation.config.games:
            scores = replace(explanation.player, policy=stage.policy).score()
            about |= {"score": float(scores.mean()), "score_games": len(scores)}
        found += [about | row for row in _of_stage(replace(explanation, model=stage.model), own)]
    return found


def _of_stage(explanation: Explanation, own: list[Kept]) -> Iterator[Row]:
    """Yield where the maps of each method lie on the frames of a stage, then those of maps without a network."""
    sample, seed = explanation.sample(own), explanation.config.seed
    for name in explanation.methods:
        method = method_of(name, explanation.config.layer)
        yield {"method": name} | map_scores.of_places(method, explanation.model, sample, seed)
    for name, make in NETWORK_FREE.items():
        yield {"method": name} | map_scores.places_of(make(explanation.model, sample.frames, seed), sample)


def picture(explanation: Explanation, kept: Sequence[Kept], stages: Sequence[Stage]) -> Image.Image:
    """Draw frames that a rule chooses, each beside the maps of all stages by the first method."""
    best = max(range(len(kept)), key=lambda row: float(np.ptp(kept[row].seen.scores)))
    order = [kept[row] for row in (best, len(kept) // 2)][:SHOWN]
    method = method_of(explanation.shown_method, explanation.config.layer)
    drawn = [[(f"game {one.seen.episode}, step {one.seen.step}", one.seen.screen)] for one in order]
    for stage in stages:
        frames, chosen = stacked(asked(order, stage.policy))
        maps = method(stage.model, frames, chosen)
        for row, one, map_ in zip(drawn, order, maps, strict=True):
            row.append((stage.name, drawing.overlay(one.seen.screen, drawing.strongest(map_))))
    return drawing.panels(drawn)

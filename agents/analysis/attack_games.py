"""Whole games of an agent whose frames are attacked at every step, or at the steps that matter.

The agent is asked for its action, the frames are changed against it, and it is asked again. Frames on which interval
bounds prove that nothing within the budget can change the action are let be: no attack could succeed there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from agents.analysis.attacked import Target
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.explain.attacks import Budget, away_from, fgsm, pgd, random_signs, toward

STARTS = 3  # of pgd-starts
ALL = "all"
BATCH = 64  # frames in a pass
# target, frames, chosen actions, budget, random numbers, steps -> changed frames
Method = Callable[[Target, Tensor, Tensor, Budget, torch.Generator, int], Tensor]


def _pgd(starts: int) -> Method:
    def method(
        target: Target, frames: Tensor, chosen: Tensor, budget: Budget, draws: torch.Generator, steps: int
    ) -> Tensor:
        return pgd(away_from(target.scores, chosen), frames, budget, draws, steps=steps, starts=starts)

    return method


def _worst(
    target: Target, frames: Tensor, chosen: Tensor, budget: Budget, draws: torch.Generator, steps: int
) -> Tensor:
    with torch.no_grad():
        goal = target.scores(frames).argmin(1)
    return pgd(toward(target.scores, goal), frames, budget, draws, steps=steps)


# The attacks by the names that commands take.
METHODS: dict[str, Method] = {
    "random": lambda target, frames, chosen, budget, draws, steps: random_signs(frames, budget, draws),
    "fgsm": lambda target, frames, chosen, budget, draws, steps: fgsm(away_from(target.scores, chosen), frames, budget),
    "pgd": _pgd(1),
    "pgd-starts": _pgd(STARTS),
    "pgd-worst": _worst,
}


def chosen_attacks(names: str) -> list[str]:
    """Return the attacks of these names, joined by commas, or all. Raises: ConfigError for a name that is none."""
    wanted = list(METHODS) if names == ALL else list(dict.fromkeys(names.split(",")))
    for name in wanted:
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise ConfigError(f"no attack {name!r}; there are {known}, and {ALL}.{suggest(name, METHODS)}")
    return wanted


def stakes(scores: np.ndarray) -> np.ndarray:
    """Return what hangs on each decision: the largest score less the smallest. scores: (N, A) -> (N,)."""
    return scores.max(1) - scores.min(1)


@dataclass
class Attacker:
    """Changes the frames of games. Counts steps, those attacked, and the actions that changed.

    above: stakes from which a step is attacked (Lin et al. 2017, "Tactics of adversarial attack on deep reinforcement
    learning agents", eq. 4); share: of the steps that are attacked at random instead (None: every step above).
    """

    target: Target
    name: str
    budget: Budget
    steps: int
    seed: int
    above: float = float("-inf")
    share: float | None = None
    bounded: bool = False  # whether the target has interval bounds
    seen: int = field(default=0, init=False)
    attacked: int = field(default=0, init=False)
    changed: int = field(default=0, init=False)
    proven: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.draws = torch.Generator().manual_seed(self.seed)

    def __call__(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return what the agent sees instead of observations (N, C, H, W) for which it chose actions (N,)."""
        frames, chosen = torch.from_numpy(obs).float(), torch.from_numpy(np.asarray(actions)).long()
        due = self._due(frames)
        self.seen += len(frames)
        self.attacked += int(due.sum())
        result = self.frames(frames[due], chosen[due])
        with torch.no_grad():
            self.changed += int((self.target.scores(result).argmax(1) != chosen[due]).sum()) if len(result) else 0
        frames[due] = result
        if self.budget.whole:
            whole: np.ndarray = frames.byte().numpy()
            return whole
        return frames.numpy()

    def _due(self, frames: Tensor) -> Tensor:
        if self.share is not None:
            return torch.rand(len(frames), generator=self.draws) < self.share
        if self.above == float("-inf"):
            return torch.ones(len(frames), dtype=torch.bool)
        with torch.no_grad():
            return torch.from_numpy(stakes(self.target.scores(frames).numpy())) >= self.above

    def frames(self, frames: Tensor, chosen: Tensor) -> Tensor:
        """Attack frames (B, C, H, W), batch by batch; where nothing can be changed they stay."""
        parts = [self._batch(*rows) for rows in zip(frames.split(BATCH), chosen.split(BATCH), strict=True)]
        return torch.cat(parts) if parts else frames

    def _batch(self, frames: Tensor, chosen: Tensor) -> Tensor:
        if not self.budget.levels or not len(frames):
            return frames
        method, result = METHODS[self.name], frames.clone()
        rows = torch.ones(len(frames), dtype=torch.bool)
        if self.bounded:
            rows = ~self.target.certified(frames, chosen, self.budget.levels)
            self.proven += int((~rows).sum())
        if rows.any():
            result[rows] = method(self.target, frames[rows], chosen[rows], self.budget, self.draws, self.steps)
        return result

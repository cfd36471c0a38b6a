"""What a map is worth in points: whole games in which the agent sees only a part of each frame, and two hypotheses.

Deletion and insertion in the number of a network say what one frame changes; here every frame of a game is changed, and
the score tells. Hypotheses are written down as predictions from the maps before the games are played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.analysis.frames import decided
from agents.analysis.witness import Witness
from agents.rl.interfaces import Policy
from agents.training.evaluate import evaluate
from envs.config import EnvConfig
from envs.ground_truth.emulator import ale_interface
from envs.ground_truth.state_reader import StateReader
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.faithfulness import FILLS, top
from rl_gen_lab.explain.model import Explained

Maps = Callable[[Tensor, Tensor], Tensor]  # frames (B, C, H, W), actions (B,) -> maps
RESAMPLES = 2_000
ENEMY, BALL = "enemy", "ball"


@dataclass(frozen=True)
class Player:
    """An agent with the game it plays, and how it is scored."""

    env: str
    world: EnvConfig
    policy: Policy
    epsilon: float
    games: int
    seed: int

    def score(
        self,
        change: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Return the scores of whole games. change: observations (N, C, H, W) and chosen actions -> what is seen.

        on_step: as of `evaluate`. Raises: ConfigError as `refuse_memory`, where frames are changed.
        """
        if change is not None:
            self.refuse_memory()
        if self.policy.seed is not None:
            self.policy.seed(self.seed)

        def act(obs: np.ndarray) -> np.ndarray:
            actions = self.policy.decide(obs)[0]
            return actions if change is None else self.policy.decide(change(obs, actions))[0]

        played = evaluate(
            self.env,
            self.world,
            act,
            self.games,
            self.seed,
            epsilon=self.epsilon,
            begin=self.policy.begin,
            on_step=on_step,
        )
        return np.asarray(played.returns)

    def refuse_memory(self) -> None:
        """Refuse agents whose frames cannot be changed: asked twice a step, a memory takes in every frame twice.

        Raises: ConfigError.
        """
        if self.policy.begin is not None:
            raise ConfigError(
                "this agent has a memory, which would take in each changed frame twice: games of changed frames are for"
                " agents without --lstm-units"
            )


def partly_seen(model: Explained, maps: Maps, share: float, fill: str, keep: bool) -> Callable[..., np.ndarray]:
    """Return a change of observations: the share of the pixels that a map finds largest is deleted, or kept alone."""

    def change(obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        frames = torch.from_numpy(obs).float()
        largest = top(maps(frames, torch.from_numpy(np.asarray(actions))), share)
        filled = FILLS[fill](model, frames)
        shown = torch.where(largest, frames, filled) if keep else torch.where(largest, filled, frames)
        result: np.ndarray = shown.round().clamp(0, 255).to(torch.uint8).numpy()
        return result

    return change


class StillEnemy:
    """Holds the enemy where it was while the ball flies away from it. Source: HackAtari (arXiv 2505.21731)."""

    def __init__(self) -> None:
        self.held = float("nan")

    def __call__(self, env: Any, reader: StateReader) -> None:
        """Write the enemy's place, before a frame is emulated."""
        slots = reader.slots
        away = slots.get("ball_x_velocity", np.nan)
        if np.isnan(away) or away <= 0:
            self.held = slots["enemy_y"]
            return
        for address, byte in reader.game.writes["enemy_y"](self.held).items():
            ale_interface(env).setRAM(address, min(max(byte, 0), 255))


def witnessed_games(player: Player, model: Explained, hidden: str | None, forcing: StillEnemy | None) -> np.ndarray:
    """Return the scores of games in which an object is erased from every frame, or the enemy is held.

    Erased is every pixel that the object touches, in each frame of the stack; the mean frame shows instead.
    """
    witness = Witness(player.env, player.world, forcing)
    witness.recorder.reading = hidden is not None
    draws, scores = np.random.default_rng(player.seed), []
    empty = model.baseline.round().clamp(0, 255).byte().numpy()
    try:
        for game in range(player.games):
            obs, total, over, first = witness.reset(player.seed + game), 0.0, False, True
            while not over:
                seen = obs if hidden is None else np.where(witness.stacked_masks()[hidden], empty, obs)
                action, _ = decided(player.policy, seen, first)
                if draws.random() < player.epsilon:
                    action = int(witness.env.action_space.sample())
                obs, reward, over = witness.step(action)
                total, first = total + reward, False
            scores.append(total)
    finally:
        witness.close()
    return np.array(scores)


def difference(before: np.ndarray, after: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return by how much the mean score rose, with its 95 % bootstrap interval over games."""
    draws = np.random.default_rng(seed)
    values = [
        draws.choice(after, len(after)).mean() - draws.choice(before, len(before)).mean() for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(after.mean() - before.mean()), float(low), float(high)


def prediction(lifts: dict[str, float]) -> str:
    """Say what a map predicts of games without the enemy's help: "falls" where it lies on the enemy as on the ball.

    lifts: of the map, by object. The rule was fixed before the first game: the enemy's lift is at least half of the
    ball's.
    """
    return "falls" if lifts.get(ENEMY, 0.0) >= 0.5 * lifts.get(BALL, np.inf) else "holds"

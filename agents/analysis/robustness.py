"""How robust an agent is, part by part: frames of its own play under every attack, then whole games."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.analysis.attack_config import Config
from agents.analysis.attack_games import Attacker, chosen_attacks, stakes
from agents.analysis.attacked import Target
from agents.analysis.frames import played
from agents.analysis.game_scores import Player
from agents.analysis.reachable import Searched, search
from agents.training.evaluate import long_episode
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.explain.attacks import Budget, minimum_levels
from rl_gen_lab.explain.model import in_batches
from rl_gen_lab.explain.statistics import interval

Row = dict[str, Any]
CLEAN = "none"  # the attack of games as they are
EVERY = 4  # vector steps of clean play from one kept frame of each game to the next, at least


class Recorder:
    """Keeps frames of clean play, evenly spaced however long the games are: thins them out by half when full."""

    def __init__(self, count: int) -> None:
        self.count, self.every, self.steps = count, EVERY, 0
        self.kept: list[np.ndarray] = []

    def __call__(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """See a vector step, and change nothing."""
        if self.steps % self.every == 0:
            self.kept.append(obs.copy())
            if len(self.kept) * len(obs) > 4 * self.count:
                self.kept, self.every = self.kept[::2], 2 * self.every
        self.steps += 1
        return obs

    def frames(self) -> Tensor:
        """Return at most `count` frames (B, C, H, W) float32, evenly spaced."""
        found = np.concatenate(self.kept)
        places = np.linspace(0, len(found) - 1, min(self.count, len(found))).round().astype(int)
        return torch.from_numpy(found[places]).float()


@dataclass(frozen=True)
class Robustness:
    """An agent with the attacks that are asked for."""

    config: Config
    target: Target
    player: Player
    bounded: bool

    @property
    def attacks(self) -> list[str]:
        """The attacks, by name. Raises: ConfigError."""
        return chosen_attacks(self.config.attacks)

    @property
    def budgets(self) -> list[float]:
        """The budgets above 0 [gray levels]."""
        return sorted({level for level in self.config.levels if level})

    def budget(self, levels: float) -> Budget:
        """Return what an attacker may do with so many levels."""
        newest = (1 if self.player.world.grayscale else 3) if self.config.newest else None
        return Budget(levels, newest, self.config.whole)

    def attacker(self, name: str, levels: float, above: float = float("-inf")) -> Attacker:
        """Return an attack on games."""
        config = self.config
        share = config.share if config.share < 1 and config.when == "random" else None
        budget = self.budget(levels)
        return Attacker(self.target, name, budget, config.steps, config.seed, above, share, self.bounded)

    def clean_play(self) -> tuple[Row, Tensor]:
        """Play games as they are; return their row and frames of them, (B, C, H, W) float32.

        Without games there is no row: frames are then of as many steps as they need, and none where no budget attacks.
        """
        config, player = self.config, self.player
        if not config.games:
            steps = config.frames * EVERY if self.budgets else 0
            found = list(played(player.env, player.world, player.policy, player.seed, steps))[::EVERY]
            return {}, torch.from_numpy(np.stack(found)).float() if found else torch.empty(0)
        recorder = Recorder(config.frames)
        row, _ = self._games(player, CLEAN, 0.0, recorder)
        return row, recorder.frames()

    def rows(self, frames: Tensor) -> Iterator[Row]:
        """Yield a row for each attack and budget: of the frames, and of whole games."""
        with torch.no_grad():
            scores = in_batches(self.target.scores, frames)
        chosen = scores.argmax(1)
        threshold = float("-inf")
        if self.config.share < 1 and self.config.when == "decisive":
            threshold = float(np.quantile(stakes(scores.numpy()), 1 - self.config.share))
        for level in self.budgets:
            certified = self.certified(frames, chosen, level)
            proves = bool(certified.get("certified"))  # bounds that prove nothing of 200 frames only cost time in games
            for name in self.attacks:
                row: Row = {"attack": name, "levels": level}
                row |= self.on_frames(self.attacker(name, level), frames, scores) | certified
                if self.config.games:
                    attacker = replace(self.attacker(name, level, threshold), bounded=proves)
                    games, _ = self._games(self.player, name, level, attacker)
                    row |= games | {"attacked": attacker.attacked / max(attacker.seen, 1)}
                    row["changed"] = attacker.changed / max(attacker.attacked, 1)
                yield row

    def certified(self, frames: Tensor, chosen: Tensor, levels: float) -> Row:
        """Return the share of frames on which no change within the budget changes the action; {} without bounds."""
        if not self.bounded:
            return {}
        found = in_batches(lambda x, y: self.target.certified(x, y, levels), frames, chosen)
        return {"certified": float(found.float().mean())}

    def on_frames(self, attacker: Attacker, frames: Tensor, scores: Tensor) -> Row:
        """Return how often an attack changes the action of a frame, and what that costs by the agent's own scores.

        cost: the clean score of the action less that of the one chosen under attack, as a share of the largest less the
        smallest, averaged over all frames: many a change costs nothing.
        """
        began, chosen = time.monotonic(), scores.argmax(1)
        found = attacker.frames(frames, chosen)
        seconds = time.monotonic() - began
        with torch.no_grad():
            taken = in_batches(self.target.scores, found).argmax(1)
        lost = (scores.max(1).values - scores.gather(1, taken[:, None])[:, 0]) / (
            scores.max(1).values - scores.min(1).values
        ).clamp_min(1e-12)
        return {
            "flipped": float((taken != chosen).float().mean()),
            "cost": float(lost.mean()),
            "ms": 1000 * seconds / len(frames),
        }

    def minimum(self, frames: Tensor) -> Row:
        """Return the least budgets [whole levels] by which PGD of three starts, and random signs, change actions."""
        places = np.linspace(0, len(frames) - 1, min(self.config.minimum, len(frames))).round().astype(int)
        frames = frames[places]
        with torch.no_grad():
            chosen = in_batches(self.target.scores, frames).argmax(1)

        @torch.no_grad()
        def fooled(changed: Tensor) -> Tensor:
            return in_batches(self.target.scores, changed).argmax(1) != chosen

        found: Row = {"frames": len(frames)}
        for name in ("pgd-starts", "random"):
            least = minimum_levels(lambda level, name=name: self.attacker(name, level).frames(frames, chosen), fooled)  # type: ignore[misc]
            found |= {f"{name}/{share}": float(np.quantile(least, share, method="lower")) for share in (0.1, 0.5, 0.9)}
        return found

    def search(self) -> tuple[Row, list[tuple[np.ndarray, np.ndarray]]]:
        """Search the emulator for states that the agent cannot handle; return losses, and screens of what was found."""
        player, count = self.player, self.config.search
        game = Searched(player.env, player.world, player.policy, self.config.seed)
        try:
            with ProgressDisplay("searching the game", count, "moments") as display:
                return search(game, count, lambda done: display.update(done, ""))
        finally:
            game.close()

    def _games(self, player: Player, name: str, levels: float, change: Any) -> tuple[Row, np.ndarray]:
        words = "games as they are" if name == CLEAN else f"games, {name} of {levels:g}"
        with ProgressDisplay(words, player.games, "games") as display:
            scores = player.score(
                change,
                on_step=lambda done, steps: display.update(done, long_episode(player.env, player.world, steps)),
            )
        value, low, high = interval(lambda rows: float(scores[rows].mean()), np.arange(len(scores)))
        print(f"{words}: score {value:.2f} [{low:.2f}, {high:.2f}]", flush=True)
        row: Row = {"attack": name, "levels": levels, "score": value, "score_low": low, "score_high": high}
        return row | {"score_min": float(scores.min()), "score_max": float(scores.max())}, scores

"""The explanation of an agent, part by part: frames by a rule, scores and their controls, games, pictures, a film."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from agents.analysis import game_scores, map_scores
from agents.analysis.causal import effects, stacked
from agents.analysis.explain_config import Config
from agents.analysis.explained_film import film
from agents.analysis.frames import Kept, collect
from agents.analysis.game_scores import ENEMY, Maps, Player, StillEnemy
from agents.analysis.map_scores import REFERENCE, Sample
from agents.analysis.witness import Witness
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.explain import drawing
from rl_gen_lab.explain.controls import NETWORK_FREE, untrained
from rl_gen_lab.explain.faithfulness import FILLS
from rl_gen_lab.explain.methods import ALL, chosen_methods, method_of
from rl_gen_lab.explain.model import Explained

Row = dict[str, Any]
SHOWN = 4  # frames in the picture: the most important ones, then evenly spaced ones
UNTOUCHED = "as it is"  # name of the row of games in which nothing is changed
OF_GAMES = "games: "  # what the names of rows of hypotheses begin with


@dataclass(frozen=True)
class Explanation:
    """An agent with what is asked of it."""

    config: Config
    model: Explained
    player: Player

    @property
    def methods(self) -> list[str]:
        """The methods, by name. Raises: ConfigError."""
        return chosen_methods(self.config.method)

    @property
    def shown_method(self) -> str:
        """The method of the film and the picture: the first that is asked for."""
        return "gradient-x-input" if self.config.method == ALL else self.methods[0]

    def frames(self) -> list[Kept]:
        """Play games and choose the frames. Raises: ConfigError for a game without truth."""
        config, player = self.config, self.player
        witness = Witness(player.env, player.world)
        try:
            with ProgressDisplay("playing", config.episodes * config.most_steps, "steps") as display:
                return collect(
                    witness,
                    player.policy,
                    episodes=config.episodes,
                    seed=config.seed,
                    count=config.frames,
                    most_steps=config.most_steps,
                    on_step=lambda steps: display.update(steps, ""),
                )
        finally:
            witness.close()

    def sample(self, kept: list[Kept]) -> Sample:
        """Return the chosen frames as tensors, with the effects of their objects."""
        frames, chosen = stacked(kept)
        names = [name for name in kept[0].seen.masks if any(one.seen.masks[name].any() for one in kept)]
        masks = {name: torch.from_numpy(np.stack([one.seen.masks[name] for one in kept])) for name in names}
        least = torch.tensor([int(one.seen.scores.argmin()) for one in kept])
        episodes = np.array([one.seen.episode for one in kept])
        return Sample(frames, chosen, least, masks, effects(self.model, kept, names), episodes)

    def rows(self, sample: Sample) -> list[Row]:
        """Score every method, and the maps that need no network."""
        rows: list[Row] = []
        for name in self.methods:
            began = time.monotonic()
            method = method_of(name, self.config.layer)
            rows.append({"method": name} | map_scores.of_method(name, method, self.model, sample, self.config.seed))
            print(f"{name}: scored in {time.monotonic() - began:.0f} s", flush=True)
        for name, make in NETWORK_FREE.items():
            maps = make(self.model, sample.frames, self.config.seed)
            rows.append({"method": name} | map_scores.of_maps(maps, self.model, sample, self.config.seed))
        return rows

    def add_games(self, rows: list[Row]) -> list[Row]:
        """Play whole games in which a share of the pixels is deleted, or kept alone, by each map; then the hypotheses.

        The scores are added to the rows of the maps; returned are those of the hypotheses.
        """
        lifts = self._lifts(rows)
        before = self.player.score()
        untouched = {"method": OF_GAMES + UNTOUCHED, "score": float(before.mean()), "games": len(before)}
        makers: dict[str, Maps] = {name: self._maps(name) for name in self.methods if name in self._fast(rows)}
        makers |= {name: self._free(name) for name in (REFERENCE, "random")}
        for row in rows:
            if row["method"] not in makers:
                continue
            for fill in FILLS:
                for key, keep in (("deleted", False), ("kept", True)):
                    change = game_scores.partly_seen(self.model, makers[row["method"]], self.config.share, fill, keep)
                    scores = self.player.score(change)
                    value, low, high = game_scores.difference(before, scores)
                    row |= {f"score_{key}_{fill}": float(scores.mean()), f"score_{key}_{fill}_change": value}
                    row |= {f"score_{key}_{fill}_low": low, f"score_{key}_{fill}_high": high}
                    print(f"{row['method']}, {key} {self.config.share:.1%}, {fill}: {scores.mean():.2f}", flush=True)
        return [untouched, *self._hypotheses(before, lifts)]

    def _lifts(self, rows: list[Row]) -> dict[str, float]:
        """Return the lift of each object by the map of the picture, on which predictions rest."""
        row = next(row for row in rows if row["method"] == self.shown_method)
        return {key.removesuffix("/lift"): value for key, value in row.items() if key.endswith("/lift")}

    def _fast(self, rows: list[Row]) -> set[str]:
        """Return the methods by which whole games can be played: at most ten milliseconds a frame."""
        return {row["method"] for row in rows if row.get("ms", np.inf) <= 10}

    def _maps(self, name: str) -> Maps:
        method = method_of(name, self.config.layer)
        return lambda frames, actions: method(self.model, frames, actions)

    def _free(self, name: str) -> Maps:
        return lambda frames, actions: NETWORK_FREE[name](self.model, frames, self.config.seed)

    def _hypotheses(self, before: np.ndarray, lifts: dict[str, float]) -> list[Row]:
        """Hide the enemy, and hold it still; only of games with an enemy that can be written."""
        if ENEMY not in lifts:
            return []
        predicted = game_scores.prediction(lifts)
        print(f"predicted by {self.shown_method} before the games: without the enemy the score {predicted}", flush=True)
        cases: dict[str, tuple[str | None, StillEnemy | None]] = {
            "enemy hidden": (ENEMY, None),
            "enemy still after its return": (None, StillEnemy()),
        }
        rows: list[Row] = []
        for name, (hidden, forcing) in cases.items():
            after = game_scores.witnessed_games(self.player, self.model, hidden, forcing)
            value, low, high = game_scores.difference(before, after)
            row = {"method": OF_GAMES + name, "score": float(after.mean()), "games": len(after), "change": value}
            rows.append(row | {"low": low, "high": high, "predicted_fall": float(predicted == "falls")})
            print(f"{name}: {before.mean():.2f} before, {after.mean():.2f} after", flush=True)
        return rows

    def film(self) -> list[np.ndarray]:
        """Return the frames of the film."""
        config, player = self.config, self.player
        method = method_of(self.shown_method, config.layer)
        with ProgressDisplay("filming", config.film_steps, "steps") as display:
            return film(
                player.env,
                player.world,
                player.policy,
                self.model,
                method,
                seed=config.seed,
                steps=config.film_steps,
                on_step=lambda done: display.update(done, ""),
            )

    def strip(self, kept: list[Kept]) -> Image.Image:
        """Draw the game, the map and its controls, a row each for frames that a rule chooses."""
        order = sorted(kept, key=lambda one: -float(np.ptp(one.seen.scores)))[: SHOWN // 2]
        order += [kept[i] for i in np.linspace(0, len(kept) - 1, SHOWN - len(order)).round().astype(int)]
        return self._rows(order)

    def row(self, kept: list[Kept]) -> Image.Image:
        """Draw the first row of the strip: the frame where most is at stake."""
        return self._rows([max(kept, key=lambda one: float(np.ptp(one.seen.scores)))])

    def _rows(self, order: list[Kept]) -> Image.Image:
        frames, chosen = stacked(order)
        method = method_of(self.shown_method, self.config.layer)
        maps: dict[str, Tensor] = {
            self.shown_method: method(self.model, frames, chosen),
            "untrained twin": method(untrained(self.model, self.config.seed + 1), frames, chosen),
        }
        maps |= {name: make(self.model, frames, self.config.seed) for name, make in NETWORK_FREE.items()}
        rows = []
        for number, one in enumerate(order):
            row = [(f"game {one.seen.episode}, step {one.seen.step}", one.seen.screen)]
            row += [(name, drawing.overlay(one.seen.screen, drawing.strongest(maps[name][number]))) for name in maps]
            rows.append(row)
        return drawing.panels(rows)

    def stack(self, kept: list[Kept]) -> Image.Image:
        """Draw all frames of one stack under their own part of the map: mass may lie on an older frame's ball."""
        one = max(kept, key=lambda one: float(np.ptp(one.seen.scores)))
        frames, chosen = stacked([one])
        (maps,) = method_of(self.shown_method, self.config.layer)(self.model, frames, chosen).expand(frames.shape)
        top = [drawing.in_color(frame) for frame in one.seen.obs]
        words = [f"newest less {back}" if back else "newest" for back in reversed(range(len(top)))]
        scale = maps.abs().max()
        under = [drawing.overlay(image, (map_ / scale).numpy()) for image, map_ in zip(top, maps, strict=True)]
        return drawing.panels([list(zip(words, images, strict=True)) for images in (top, under)])


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function makes, and the time that it took [s]."""
    began = time.monotonic()
    return make(), time.monotonic() - began

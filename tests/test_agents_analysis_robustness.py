"""The parts of a ledger: frames of clean play, attacks compared on the same of them, whole games."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import torch
from packed_agents import FILE, pong, pong_frames

from agents.analysis import attack_pictures
from agents.analysis.attack_config import Config
from agents.analysis.attacked import Target
from agents.analysis.game_scores import Player
from agents.analysis.robustness import Recorder, Robustness


def robustness(**settings: object) -> Robustness:
    config = Config(Path(FILE), **{"games": 2, "frames": 12, "levels": (0.0, 1.0)} | settings)  # type: ignore[arg-type]
    player = Player(pong().env, pong().world, pong().policy, 0.0, config.games, 1)
    return Robustness(config, Target.of(pong().policy), player, True)


def frames() -> torch.Tensor:
    return torch.from_numpy(np.stack([one.seen.obs for one in pong_frames()])).float()


def test_frames_are_kept_evenly_however_long_the_play() -> None:
    recorder = Recorder(10)
    for step in range(1_000):
        obs = np.full((2, 1, 2, 2), step % 256, np.uint8)
        assert recorder(obs, np.zeros(2)) is obs
    assert len(recorder.kept) * 2 <= 42 and len(recorder.frames()) == 10
    assert recorder.frames().dtype == torch.float32


def test_no_game_is_played_where_none_is_asked_for() -> None:
    with mock.patch.object(Player, "score", autospec=True) as score:
        row, found = robustness(games=0, frames=3).clean_play()
        assert row == {} and found.shape == (3, 4, 84, 84) and found.dtype == torch.float32
        assert (found[0] != found[1]).any()  # of different moments
        row, found = robustness(games=0, levels=(0.0,)).clean_play()
        assert row == {} and len(found) == 0
    assert not score.called


def test_every_attack_is_scored_on_the_same_frames_and_games() -> None:
    asked = robustness(attacks="random,fgsm")
    with mock.patch.object(Player, "score", autospec=True) as score:
        score.side_effect = lambda self, change=None, on_step=None: np.array([-21.0, -19.0])
        rows = list(asked.rows(frames()))
    assert [(row["attack"], row["levels"]) for row in rows] == [("random", 1.0), ("fgsm", 1.0)]
    control, gradient = rows
    assert control["flipped"] < gradient["flipped"] and control["cost"] <= control["flipped"]
    assert control["certified"] == gradient["certified"] == 0.0  # bounds of an undefended network prove nothing
    assert gradient["score"] == -20.0 and gradient["score_low"] == -21.0 and gradient["score_high"] == -19.0


def test_only_decisive_steps_are_attacked_from_the_quantile_of_the_frames() -> None:
    asked = robustness(attacks="fgsm", share=0.25)
    seen = []
    with mock.patch.object(Player, "score", autospec=True) as score:

        def play(self: Player, change: object = None, on_step: object = None) -> np.ndarray:
            seen.append(change)
            return np.array([0.0, 0.0])

        score.side_effect = play
        list(asked.rows(frames()))
    obs = frames().byte().numpy()
    seen[0](obs, pong().policy.decide(obs)[0])
    assert seen[0].attacked == 3 and seen[0].seen == 12  # a quarter of twelve


def test_least_budgets_of_gradients_are_below_those_of_random_signs() -> None:
    found = robustness(minimum=6).minimum(frames())
    assert found["frames"] == 6
    assert found["pgd-starts/0.5"] <= found["random/0.5"] and found["pgd-starts/0.5"] <= 2


def test_the_picture_has_a_row_for_each_frame() -> None:
    picture = attack_pictures.strip(robustness(attacks="random,pgd"), frames())
    assert picture.size[0] > 600 and picture.size[1] > 3 * 168

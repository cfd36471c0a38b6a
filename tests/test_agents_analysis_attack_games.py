"""Games under attack: what is attacked, when, and what is counted; frames that are proven safe are let be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from packed_agents import pong, pong_frames

from agents.analysis.attack_games import METHODS, Attacker, chosen_attacks, stakes
from agents.analysis.attacked import Target
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.attacks import Budget


def seen() -> tuple[np.ndarray, np.ndarray]:
    obs = np.stack([one.seen.obs for one in pong_frames()])
    return obs, pong().policy.decide(obs)[0]


def attacker(name: str, budget: Budget, **settings: object) -> Attacker:
    return Attacker(Target.of(pong().policy), name, budget, 10, 0, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_what_the_agent_sees_stays_within_the_budget(name: str) -> None:
    obs, actions = seen()
    one = attacker(name, Budget(1.0))
    changed = one(obs, actions)
    assert changed.shape == obs.shape and 0 < np.abs(changed - obs.astype(np.float32)).max() <= 1.0
    assert (one.seen, one.attacked) == (len(obs), len(obs))
    flips = int((pong().policy.decide(changed)[0] != actions).sum())
    assert one.changed == flips
    if name != "random":  # the network was never defended: gradients change nearly every action by a single level
        assert flips >= 0.6 * len(obs)


def test_random_signs_change_fewer_actions_of_the_same_frames_than_gradients() -> None:
    obs, actions = seen()
    counts = {}
    for name in ("random", "pgd"):
        one = attacker(name, Budget(1.0))
        one(obs, actions)
        counts[name] = one.changed
    assert counts["random"] < counts["pgd"]


def test_whole_levels_are_bytes_and_only_the_newest_frame_may_change() -> None:
    obs, actions = seen()
    changed = attacker("pgd", Budget(2.0, newest=1, whole=True))(obs, actions)
    assert changed.dtype == np.uint8 and (changed[:, :-1] == obs[:, :-1]).all() and (changed[:, -1] != obs[:, -1]).any()
    assert np.abs(changed.astype(int) - obs).max() <= 2


def test_only_decisive_steps_or_a_random_share_are_attacked() -> None:
    obs, actions = seen()
    worth = stakes(Target.of(pong().policy).scores(torch.from_numpy(obs).float()).detach().numpy())
    above = float(np.quantile(worth, 0.5))
    changed = attacker("fgsm", Budget(1.0), above=above)(obs, actions)
    touched = (changed != obs).any((1, 2, 3))
    assert (touched == (worth >= above)).all() and 0 < touched.sum() < len(obs)
    shared = attacker("fgsm", Budget(1.0), share=0.5)
    for _ in range(20):
        shared(obs, actions)
    assert 0.3 < shared.attacked / shared.seen < 0.7


def test_frames_whose_action_is_proven_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    obs, actions = seen()
    one = attacker("pgd", Budget(1.0), bounded=True)
    sure = torch.arange(len(obs)) % 2 == 0
    monkeypatch.setattr(Target, "certified", lambda self, frames, chosen, levels: sure[: len(frames)])
    changed = one(obs, actions)
    assert (changed[sure.numpy()] == obs[sure.numpy()]).all() and one.proven == int(sure.sum())
    assert one.changed > 0


def test_without_a_budget_nothing_changes() -> None:
    obs, actions = seen()
    one = attacker("pgd", Budget(0.0))
    assert (one(obs, actions) == obs).all() and one.changed == 0
    assert replace(one).seen == 0


def test_names_of_attacks() -> None:
    assert chosen_attacks("all") == list(METHODS) and chosen_attacks("pgd,fgsm,pgd") == ["pgd", "fgsm"]
    with pytest.raises(ConfigError, match=r"no attack 'pdg'.*Did you mean 'pgd'"):
        chosen_attacks("pdg")

"""Every number of the probes for values, computed again by an exact tabular solver on recorded vector steps."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.factory import make_vec
from envs.probes.values import KNOWN, MISTAKES

CASES = [(probe, mistake) for probe, known in KNOWN.items() for mistake in known.mistakes]
RECORDED_EPISODES = 8


@dataclass(frozen=True)
class Slot:
    """One vector step of one copy, as a replay memory sees it in NEXT_STEP autoreset."""

    state: int
    action: int
    reward: float
    terminated: bool
    truncated: bool
    dummy: bool


def record(probe: str) -> list[Slot]:
    """Whole episodes with their dummy steps; the record repeats from there, so it may be read as a ring.

    Each kind of episode is played equally often with each action, so that means over the record are exact.
    """
    vec = make_vec(KNOWN[probe].env, 1)
    obs, _ = vec.reset(seed=0)
    slots: list[Slot] = []
    episode, dummy = 0, False
    while episode < RECORDED_EPISODES:
        action = episode // 2 % 2
        state = int(obs[0].argmax())
        obs, reward, terminated, truncated, _ = vec.step(np.array([action]))
        slots.append(Slot(state, action, float(reward[0]), bool(terminated[0]), bool(truncated[0]), dummy))
        episode += dummy
        dummy = bool(terminated[0] or truncated[0])
    assert obs[0].argmax() == 0
    vec.close()
    return slots


@dataclass(frozen=True)
class Window:
    """The target of (state, action): `reward` + `discount` * V(`end`)."""

    state: int
    action: int
    reward: float
    discount: float
    end: int


def windows(slots: list[Slot], gamma: float, n: int, mistake: str | None) -> list[Window]:
    """Every n-step window of the record, under a mistake."""
    targets = []
    for start, first in enumerate(slots):
        if first.dummy and mistake != "stores_dummy_step":
            continue
        reward, length, last = 0.0, 0, first
        while length < n:
            last = slots[(start + length) % len(slots)]
            reward += gamma**length * last.reward
            length += 1
            if (last.terminated or last.truncated) and mistake != "crosses_reset":
                break
        if mistake == "drops_episode_tail" and length < n:
            continue
        end = slots[(start + length) % len(slots)].state
        discount = gamma**length
        if mistake == "one_gamma_for_n_steps":
            discount = gamma
        elif mistake == "full_gamma_power_for_short_window":
            discount = gamma**n
        if last.terminated and mistake not in ("bootstraps_through_termination", "crosses_reset"):
            discount = 0.0
        if last.truncated and mistake == "no_bootstrap_at_truncation":
            discount = 0.0
        if last.truncated and mistake == "bootstraps_from_next_episode":
            end = slots[(start + length + 1) % len(slots)].state
        targets.append(Window(first.state, first.action, reward, discount, end))
    return targets


def solve(targets: list[Window]) -> tuple[dict[tuple[int, int], float], float]:
    """Q-values at the fixed point of averaging every target of a state and action; largest |target - Q| there."""
    by_pair = defaultdict(list)
    for window in targets:
        by_pair[window.state, window.action].append(window)
    q = dict.fromkeys(by_pair, 0.0)

    def target(window: Window) -> float:
        values = [q[window.end, action] for action in (0, 1) if (window.end, action) in q]
        assert values or window.discount == 0.0, f"{window} bootstraps from a state that is never learned"
        return window.reward + window.discount * max(values, default=0.0)

    for _ in range(3_000):
        new = {pair: float(np.mean([target(w) for w in ws])) for pair, ws in by_pair.items()}
        change = max(abs(new[pair] - q[pair]) for pair in q)
        q = new
        if change < 1e-13:
            break
    assert change < 1e-12
    return q, max(abs(target(w) - q[w.state, w.action]) for w in targets)


def start_value(q: dict[tuple[int, int], float]) -> float:
    return max(value for (state, _), value in q.items() if state == 0)


@pytest.mark.parametrize("probe", KNOWN)
def test_a_learner_without_mistakes_finds_the_right_value(probe: str) -> None:
    known = KNOWN[probe]
    q, _ = solve(windows(record(probe), known.gamma, known.n_step, None))
    assert start_value(q) == pytest.approx(known.value, abs=1e-9)


@pytest.mark.parametrize("probe", KNOWN)
def test_the_right_value_is_the_best_discounted_return_of_the_uncut_environment(probe: str) -> None:
    known = KNOWN[probe]
    env = gym.make(known.env).unwrapped
    returns = []
    for action in (0, 1):
        total = 0.0
        env.reset(seed=0)
        for _ in range(2):  # both kinds of episode, where there are two
            for t in range(500):  # steps go on over a truncation: the dynamics have no end there
                _, reward, terminated, _, _ = env.step(action)
                total += known.gamma**t * float(reward) / 2
                if terminated:
                    break
            env.reset()
        returns.append(total)
    assert max(returns) == pytest.approx(known.value, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("probe", ["truncation", "n_step", "episode_tail"])
def test_where_actions_do_not_matter_the_right_value_is_that_of_every_n(probe: str, n: int) -> None:
    q, _ = solve(windows(record(probe), KNOWN[probe].gamma, n, None))
    assert start_value(q) == pytest.approx(KNOWN[probe].value, abs=1e-9)


@pytest.mark.parametrize(("probe", "mistake"), CASES)
def test_each_mistake_converges_to_its_own_number(probe: str, mistake: str) -> None:
    known = KNOWN[probe]
    q, _ = solve(windows(record(probe), known.gamma, known.n_step, mistake))
    assert start_value(q) == pytest.approx(known.mistakes[mistake], abs=1e-9)


@pytest.mark.parametrize(("probe", "mistake"), CASES)
def test_mixed_targets_lie_where_the_huber_loss_is_the_squared_loss(probe: str, mistake: str) -> None:
    known = KNOWN[probe]
    _, largest_error = solve(windows(record(probe), known.gamma, known.n_step, mistake))
    assert largest_error < 0.9


@pytest.mark.parametrize("probe", KNOWN)
def test_the_numbers_of_an_environment_are_far_enough_apart_to_tell_a_learner_s_mistake(probe: str) -> None:
    numbers = sorted([KNOWN[probe].value, *KNOWN[probe].mistakes.values()])
    assert min(b - a for a, b in pairwise(numbers)) > 0.3


def test_every_mistake_has_an_environment_and_every_environment_names_its_mistakes() -> None:
    assert {mistake for _, mistake in CASES} == set(MISTAKES)


def test_bootstrapping_through_termination_prefers_the_wrong_action() -> None:
    known = KNOWN["termination"]
    right, _ = solve(windows(record("termination"), known.gamma, 1, None))
    wrong, _ = solve(windows(record("termination"), known.gamma, 1, "bootstraps_through_termination"))
    assert right[0, 1] > right[0, 0] and wrong[0, 0] > wrong[0, 1]


@pytest.mark.parametrize("probe", KNOWN)
def test_the_derivation_in_the_docstring_ends_in_the_numbers_of_known(probe: str) -> None:
    known = KNOWN[probe]
    text = gym.make(known.env).unwrapped.__doc__ or ""
    written = [float(number) for number in re.findall(r"\d+\.?\d*", text)]
    for name, value in {"Right": known.value, **known.mistakes}.items():
        assert f"{name}:" in text
        assert min(abs(number - value) for number in written) < 0.0006 * max(1.0, value), (name, value)


@pytest.mark.parametrize("probe", KNOWN)
def test_environments_keep_the_contract_of_gymnasium(probe: str) -> None:
    env = gym.make(KNOWN[probe].env)
    check_env(env.unwrapped, skip_render_check=True)


def test_copies_of_a_vector_env_walk_alike() -> None:
    vec = make_vec(KNOWN["episode_tail"].env, 3)
    vec.reset(seed=5)
    lengths = []
    for t in range(12):
        _, _, terminated, _, _ = vec.step(np.zeros(3, dtype=np.int64))
        assert len(set(terminated.tolist())) == 1
        lengths += [t] if terminated[0] else []
    assert lengths == [0, 4, 6, 10]  # short, long, short, long, with a dummy step after each
    vec.close()

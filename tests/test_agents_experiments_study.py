"""Every place of a study is filled exactly once, whatever happens to those who work on it."""

from __future__ import annotations

import math
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from sweep_command import shared_study, write_sweep

from agents.experiments import study as module
from agents.experiments.heartbeat import OWNER, this_worker
from agents.experiments.study import (
    DIED,
    LOST,
    MOST_ATTEMPTS,
    PLACE,
    SharedStudy,
    make_pruner,
    open_study,
    settings_in_words,
)
from agents.experiments.sweep_plan import read_sweep
from rl_gen_lab.cli.errors import ConfigError

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(120)
GRID = "learning_rate = { choices = [0.1, 0.01, 0.001] }\ngamma = { choices = [0.9, 0.99] }"


def places(shared: SharedStudy, *states: str) -> list[int]:
    return [trial.user_attrs[PLACE] for trial in shared.trials(*states)]


def finish(shared: SharedStudy, trial: Any, value: float = 1.0) -> None:
    shared.sweep.space.suggest(trial)
    shared.study.tell(trial, value)


def test_a_study_is_made_once_with_a_place_for_each_trial(tmp_path: Path) -> None:
    studies = [shared_study(tmp_path) for _ in range(3)]
    assert [places(shared) for shared in studies] == [[0, 1, 2, 3, 4, 5]] * 3
    trial = studies[1].claim()
    assert trial is not None and trial.number == 0  # of the settings that the command has by itself
    start = studies[0].sweep.start
    assert studies[0].sweep.space.suggest(trial) == {"learning_rate": start.learning_rate, "gamma": start.gamma}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_studies_made_in_the_same_moment_are_one(tmp_path: Path, kind: str) -> None:
    storage = str(tmp_path / "journal.log") if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    sweep = read_sweep(write_sweep(tmp_path))
    made: list[SharedStudy] = []
    failed: list[BaseException] = []

    def make() -> None:
        try:
            made.append(open_study(sweep, "short", storage, tmp_path))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(made) == 4
    assert set(places(made[0])) == set(range(6))
    work_off(made)
    assert_filled_once(made[0])


def work_off(studies: list[SharedStudy], seed: int = 0, deaths: int = 0) -> None:
    """Take places in any order, by several at a time, of whom some die."""
    rng = random.Random(seed)
    held: list[tuple[SharedStudy, Any]] = []
    for _ in range(1000):
        shared = rng.choice(studies)
        move = rng.random()
        if move < 0.4 and len(held) < 3:
            if (trial := shared.claim()) is not None:
                held.append((shared, trial))
        elif move < 0.7 and held:
            owner, trial = held.pop(rng.randrange(len(held)))
            finish(owner, trial)
        elif move < 0.8 and held and deaths:
            deaths -= 1
            owner, trial = held.pop(rng.randrange(len(held)))
            for watcher in rng.sample(studies, min(2, len(studies))):  # two find it dead in the same moment
                watcher.give_up(trial, DIED)
        else:
            shared.repair()
        if not held and len(shared.finished()) == shared.places:
            return
    raise AssertionError("not worked off")


def assert_filled_once(shared: SharedStudy) -> None:
    final = [trial for trial in shared.trials() if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(trial.user_attrs[PLACE] for trial in final) == list(range(shared.places))
    assert len(shared.finished()) == shared.places


@pytest.mark.parametrize("seed", range(4))
def test_no_place_is_lost_or_filled_twice_when_workers_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "MOST_ATTEMPTS", 100)
    studies = [shared_study(tmp_path) for _ in range(3)]
    work_off(studies, seed, deaths=8)
    assert_filled_once(studies[0])
    assert [trial for trial in studies[0].trials("FAIL") if LOST in trial.user_attrs]


def test_of_a_place_that_was_filled_twice_the_first_is_worked_on(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    shared.study.enqueue_trial({}, user_attrs={PLACE: 0})  # as two repairs in the same moment would
    taken = [shared.claim() for _ in range(6)]
    assert sorted(trial.user_attrs[PLACE] for trial in taken if trial is not None) == list(range(6))
    assert shared.claim() is None
    assert [t.user_attrs[PLACE] for t in shared.trials("FAIL")] == [0]


def test_a_lost_trial_is_tried_again_with_its_settings(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    trial = shared.claim()
    assert trial is not None
    first = shared.sweep.space.suggest(trial)
    trial.set_user_attr(OWNER, this_worker() | {"started": 0.0})  # a process that is gone
    (line,) = shared.repair()
    assert "trial 0 was lost with its worker" in line and shared.repair() == []
    again = [t for t in (shared.claim() for _ in range(6)) if t is not None and t.user_attrs[PLACE] == 0]
    assert [shared.sweep.space.suggest(t) for t in again] == [first]


def test_a_trial_that_was_lost_before_it_had_its_settings_keeps_those_of_its_place(tmp_path: Path) -> None:
    shared = shared_study(tmp_path, head='sampler = "grid"', search=GRID)
    for _ in range(2):
        for _ in range(6):
            trial = shared.claim()
            assert trial is not None
            trial.set_user_attr(OWNER, this_worker() | {"started": 0.0})
        assert len(shared.repair()) == 6
    found = [shared.sweep.space.suggest(trial) for trial in (shared.claim() for _ in range(6)) if trial is not None]
    assert {tuple(values.values()) for values in found} == {(r, g) for r in (0.1, 0.01, 0.001) for g in (0.9, 0.99)}


def test_a_place_that_kills_its_workers_fails_in_the_end(tmp_path: Path) -> None:
    shared = shared_study(tmp_path, head="trials = 1")
    for attempt in range(MOST_ATTEMPTS):
        trial = shared.claim()
        assert trial is not None, attempt
        shared.give_up(trial, DIED)
        shared.repair()
    assert shared.claim() is None and len(shared.finished()) == 1
    assert shared.finished()[0].user_attrs["error"] == f"{DIED} {MOST_ATTEMPTS} times"


def test_a_finished_trial_cannot_be_given_up(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    trial = shared.claim()
    finish(shared, trial)
    assert trial is not None and not shared.give_up(trial, DIED)
    assert places(shared, "COMPLETE") == [0]


def test_more_trials_are_added_to_a_study(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    finish(shared, shared.claim())
    assert shared_study(tmp_path, head="trials = 9").places == 9
    assert sorted(places(shared)) == list(range(9))
    assert shared_study(tmp_path, head="trials = 3").places == 9  # fewer: those that are there stay


def test_settings_to_try_first_come_after_those_of_the_command(tmp_path: Path) -> None:
    shared = shared_study(tmp_path, head="trials = 4\nfirst = [{ gamma = 0.9 }, { learning_rate = 0.05 }]")
    taken = [shared.sweep.space.suggest(trial) for trial in (shared.claim() for _ in range(3)) if trial is not None]
    assert taken[0]["gamma"] == 0.99 and taken[1]["gamma"] == 0.9 and taken[2]["learning_rate"] == 0.05
    assert shared.places == 4


def test_a_study_of_another_sweep_is_not_joined(tmp_path: Path) -> None:
    shared_study(tmp_path)
    with pytest.raises(ConfigError, match="was begun with another search; its trials cannot be compared with new ones"):
        shared_study(tmp_path, search="gamma = { choices = [0.9] }")
    with pytest.raises(ConfigError, match="was begun with another seeds"):
        shared_study(tmp_path, head="seeds = [7]")


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_grid_and_random_search_are_the_same_for_any_workers(tmp_path: Path, sampler: str) -> None:
    head = f'sampler = "{sampler}"\ntrials = 6\ntry_start = false'
    one, two = (shared_study(tmp_path / name, head=head, search=GRID) for name in ("a", "b"))
    settings = []
    for studies in ([one], [two, shared_study(tmp_path / "b", head=head, search=GRID)]):
        found: dict[int, Any] = {}
        for index in range(6):
            trial = studies[index % len(studies)].claim()
            assert trial is not None
            found[trial.user_attrs[PLACE]] = tuple(studies[0].sweep.space.suggest(trial).values())
        settings.append(found)
    assert settings[0] == settings[1] and len(settings[0]) == 6
    if sampler == "grid":
        assert set(settings[0].values()) == {(rate, gamma) for rate in (0.1, 0.01, 0.001) for gamma in (0.9, 0.99)}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_move_towards_better_settings(tmp_path: Path, sampler: str) -> None:
    """The score falls with the distance of two numbers from their best values."""
    head = f'sampler = "{sampler}"\ntrials = 30\nstartup_trials = 8\ntry_start = false'
    search = "learning_rate = { low = 1e-5, high = 1.0, log = true }\ngamma = { low = 0.0, high = 1.0 }"
    if sampler == "cmaes":
        pytest.importorskip("cmaes", reason="the extra `sweep` is not installed")
    shared = shared_study(tmp_path, head=head, search=search)
    scores = []
    while (trial := shared.claim()) is not None:
        values = shared.sweep.space.suggest(trial)
        scores.append(-abs(values["gamma"] - 0.3) - abs(math.log10(values["learning_rate"]) + 2) / 5)
        shared.study.tell(trial, scores[-1])
    assert len(scores) == 30 and len(set(scores)) == 30
    assert sum(scores[-10:]) / 10 > sum(scores[:8]) / 8
    best = shared.best()
    assert best is not None and best.value == max(scores)


@pytest.mark.parametrize(
    ("pruner", "kind", "ended"),
    [
        ('kind = "median"\nstartup_trials = 3', "PercentilePruner", True),
        ('kind = "percentile"\npercent = 90.0\nstartup_trials = 3', "PercentilePruner", False),
        ('kind = "halving"\nreduction = 2', "SuccessiveHalvingPruner", True),
        ('kind = "none"', "NopPruner", False),
        ('kind = "median"\nstartup_trials = 3\nwarmup_steps = 200', "PercentilePruner", False),
    ],
)
def test_pruners_compare_trials_after_equal_steps(tmp_path: Path, pruner: str, kind: str, ended: bool) -> None:
    shared = shared_study(tmp_path, pruner=pruner)
    assert type(make_pruner(shared.sweep)).__name__ == kind
    for score in (1.0, 2.0, 3.0, 4.0):
        trial = shared.claim()
        assert trial is not None
        shared.sweep.space.suggest(trial)
        trial.report(score, 100)
        assert not trial.should_prune()
        trial.report(100.0, 200)  # later scores are not compared with the first of the next
        shared.study.tell(trial, score)
    trial = shared.claim()
    assert trial is not None
    shared.sweep.space.suggest(trial)
    trial.report(1.5, 100)
    assert bool(trial.should_prune()) is ended


def test_settings_in_words(tmp_path: Path) -> None:
    sweep = shared_study(tmp_path).sweep
    assert settings_in_words(sweep, {"learning_rate": 0.00123456, "gamma": 0.9}) == "learning_rate 0.001235, gamma 0.9"

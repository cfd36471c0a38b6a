"""The start of a run at W&B: its mode and its group."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tracked_runs import read_back, start

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking import wandb_init

pytestmark = pytest.mark.usefixtures("without_machine_statistics")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)


def test_seeds_share_a_group_and_other_settings_do_not(tmp_path: Path) -> None:
    def group(**changes: Any) -> str:
        settings = {"learning_rate": 1e-4, "seed": 1, "wandb.mode": "auto", **changes}
        run = RunFolder.create(tmp_path, "dqn", "Pong", 1)
        with start(run, flat_config=settings):
            pass
        found = read_back(run)
        assert found.group in found.tags
        return found.group

    assert group() == group(seed=2, **{"wandb.mode": "offline"}) != group(learning_rate=1e-3)
    assert group().startswith("dqn-ALE/Pong-v5-")


@pytest.mark.parametrize(
    ("asked", "variable", "key", "expected"),
    [
        ("auto", None, True, "online"),
        ("auto", None, False, "offline"),
        ("auto", "offline", True, "offline"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "disabled", True, "disabled"),
        ("auto", "online", False, "offline"),
        ("offline", "online", True, "offline"),
        ("disabled", "online", True, "disabled"),
        ("online", "offline", True, "online"),
        ("online", None, False, "offline"),
    ],
)
def test_flag_beats_variable_beats_key(
    monkeypatch: pytest.MonkeyPatch, asked: Any, variable: str | None, key: bool, expected: str
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr("rl_gen_lab.tracking.wandb_init._has_key", lambda: key)
    mode, reason = wandb_init.choose_mode(asked)
    assert mode == expected
    assert bool(reason) == ("online" in (asked, variable if asked == "auto" else "") and not key)


def test_a_wrong_variable_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(ConfigError, match=r"WANDB_MODE is 'ofline'.*Did you mean 'offline'\?"):
        wandb_init.choose_mode("auto")


@pytest.mark.parametrize("variable", ["", "Offline", "dryrun"])
def test_a_variable_that_wandb_itself_trips_over_starts_and_is_left_as_it_was(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr("rl_gen_lab.tracking.wandb_init._has_key", lambda: False)
    with start(run, mode="auto") as tracker:
        assert tracker.mode == "offline"
    assert os.environ["WANDB_MODE"] == variable


def test_runs_from_before_a_setting_was_respelled_are_in_the_same_group() -> None:
    values = {"gamma": 0.9, "policy.normalize_obs": True, "standardize": False}
    earlier = {"gamma": 0.9, "policy.normalise_obs": True, "standardise": False}
    assert (
        wandb_init.settings_hash(values) == hashlib.sha256(json.dumps(earlier, sort_keys=True).encode()).hexdigest()[:8]
    )


def test_a_setting_of_a_later_version_leaves_the_group_of_runs_that_do_not_use_it() -> None:
    before = {"gamma": 0.9, "eval.epsilon": 0.0}
    assert wandb_init.settings_hash(before | {"eval.stochastic": False}) == wandb_init.settings_hash(before)
    assert wandb_init.settings_hash(before | {"eval.stochastic": True}) != wandb_init.settings_hash(before)

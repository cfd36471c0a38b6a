"""What a study leaves in its folder, in the ledger and at W&B."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sweep_command import shared_study

from agents.experiments import preset_file
from agents.experiments.study import SharedStudy
from agents.experiments.sweep_report import report
from agents.reports.store import read_csv
from rl_gen_lab.cli.settings import WandbConfig

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def shared(tmp_path: Path) -> SharedStudy:
    made = shared_study(tmp_path)
    for score in (1.0, 3.0, 2.0):
        trial = made.claim()
        assert trial is not None
        made.sweep.space.suggest(trial)
        made.study.tell(trial, score)
    return made


def test_a_study_without_a_complete_trial_has_nothing_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(shared_study(tmp_path), WandbConfig(mode="disabled"))
    assert "no trial is complete" in capsys.readouterr().out and not (tmp_path / "best.toml").exists()


def test_everything_is_written_and_a_second_report_replaces_it(
    shared: SharedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    presets = tmp_path / "configs"
    shutil.copytree(preset_file.PRESETS, presets)
    monkeypatch.setattr(preset_file, "PRESETS", presets)
    for _ in range(2):
        report(shared, WandbConfig(mode="disabled"), "tuned", tmp_path / "results")
    text = capsys.readouterr().out
    assert (presets / "reinforce_tuned.toml").read_bytes() == (tmp_path / "best.toml").read_bytes()
    head = (tmp_path / "best.toml").read_text().partition("total_env_steps")[0].replace("\n#", "")
    assert "trial 1 of 3, score 3 over seeds 1 2" in head
    _, rows = read_csv(tmp_path / "results" / "sweeps.csv")
    assert [row["score"] for row in rows] == ["1.0000", "3.0000", "2.0000"]
    assert text.count("preset written: ") == 4 and "sweeps.csv: 3 rows written" in text
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["global_step"], row["sweep/score"], row["sweep/best_score"]) for row in logged] == [
        (0, 1.0, 1.0),
        (1, 3.0, 3.0),
        (2, 2.0, 3.0),
    ]


def test_a_study_is_a_run_of_its_own_at_wandb(
    shared: SharedStudy, tmp_path: Path, without_machine_statistics: None
) -> None:
    report(shared, WandbConfig(mode="offline"))
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))

"""What is said of a study while it goes on: each trial once, the best so far."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_command import shared_study

from agents.experiments import study_progress
from agents.experiments.study_progress import StudyProgress

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(60)


def test_each_trial_is_said_once_and_those_before_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = shared_study(tmp_path)
    monkeypatch.setattr(study_progress.ProgressDisplay, "due", lambda self, done: False)

    def end(value: float | None, state: str, **attributes: object) -> None:
        trial = shared.claim()
        assert trial is not None
        shared.sweep.space.suggest(trial)
        trial.report(1.5, 200)
        for name, content in attributes.items():
            trial.set_user_attr(name, content)
        shared.study.tell(trial, value, optuna.trial.TrialState[state])

    end(1.0, "COMPLETE", scores=[0.5, 1.5])
    progress = StudyProgress(shared)
    end(2.0, "COMPLETE", scores=[1.0, 3.0])
    end(None, "PRUNED")
    end(None, "PRUNED", error="impossible: n_step")
    end(None, "FAIL", error="no space")
    end(None, "FAIL", lost="stopped")
    monkeypatch.setattr(progress.display, "update", lambda done, status: print(f"{done}: {status}"))
    progress.update()
    progress.update()
    lines = [line.partition(" · learning_rate")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "trial 1: 2 (by seed 1, 3) · best so far",
        "trial 2: pruned after 200",
        "trial 3: impossible: n_step",
        "trial 4: failed: no space",
        *["5: best 2 (trial 1) · 2 complete · 2 pruned · 1 failed · 0 running"] * 2,
    ]

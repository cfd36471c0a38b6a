"""The end of a run that did not finish: a full disk hides no other error; an unfit checkpoint is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_gen_lab.cli.errors import CheckpointError, DivergedError, SaveError
from rl_gen_lab.runs.ending import can_resume, failure, fitting_checkpoint, keep_result
from rl_gen_lab.runs.folder import RunFolder


def test_a_result_that_the_disk_refuses_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lines = RunFolder(tmp_path), list[str]()
    keep_result(run, failure(ValueError("no")), lines.append)
    assert run.read_result() == {"status": "failed", "error": "ValueError: no"} and not lines

    def refuse(*_: object) -> None:
        raise SaveError("full")

    monkeypatch.setattr(RunFolder, "write_result", refuse)
    keep_result(run, {"status": "failed"}, lines.append)
    assert lines == ["the result is not on disk: full"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), DivergedError("nan")])
def test_a_run_without_a_checkpoint_or_that_diverged_is_not_to_be_resumed(
    tmp_path: Path, error: BaseException | None
) -> None:
    run = RunFolder(tmp_path)
    assert not can_resume(run, error)
    (run.checkpoints / "latest").mkdir(parents=True)
    assert can_resume(run, error) is not isinstance(error, DivergedError)


@pytest.mark.parametrize("error", [KeyError("best"), ValueError("size"), RuntimeError("missing keys")])
def test_what_does_not_fit_is_a_checkpoint_error(tmp_path: Path, error: Exception) -> None:
    message = r"latest does not fit this program and .*config\.json"
    with pytest.raises(CheckpointError, match=message), fitting_checkpoint(RunFolder(tmp_path)):
        raise error

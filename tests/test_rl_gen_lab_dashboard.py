"""The command that saves the workspace."""

from __future__ import annotations

import importlib.util

import pytest

from rl_gen_lab import dashboard

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is an optional extra"
)


@needs_package
def test_without_a_key_the_command_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: False)
    with pytest.raises(SystemExit) as stop:
        dashboard.main(["--project", "lab", "--entity", "me"])
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "wandb login" in said and "\n" not in said


@pytest.mark.parametrize(("argv", "said"), [([], "--entity"), (["--entity", "me", "--projct", "lab"], "--project")])
def test_a_wrong_flag_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        dashboard.main(argv)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line

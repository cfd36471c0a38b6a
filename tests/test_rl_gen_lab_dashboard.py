"""The command that saves the workspace."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from rl_gen_lab import dashboard

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is an optional extra"
)


@needs_package
@pytest.mark.parametrize("flags", [[], ["--report"]])
def test_without_a_key_the_command_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: False)
    with pytest.raises(SystemExit) as stop:
        dashboard.main(["--project", "lab", "--entity", "me", *flags])
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "wandb login" in said and "\n" not in said


@needs_package
def test_report_and_workspace_are_saved_where_flags_and_variables_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[str, str, str]] = []

    def save(built: Any, what: str) -> str:
        saved.append((what, built.entity, built.project))
        return "an address"

    monkeypatch.setattr(dashboard, "save", save)
    monkeypatch.setenv("WANDB_ENTITY", "team")
    dashboard.main([])
    dashboard.main(["--report", "--env-id", "CartPole-v1", "--project", "lab", "--entity", "me"])
    assert saved == [("workspace", "team", "rl_gen_lab"), ("report", "me", "lab")]
    assert capsys.readouterr().out == "an address\n" * 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--entity"),
        (["--entity", "me", "--projct", "lab"], "--project"),
        (["--entity", "me", "--env-id", "CartPole-v1"], "--env-id belongs to --report"),
        (["--entity", "me", "--project", "a/b"], "--wandb.project 'a/b' contains '/'"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        dashboard.main(argv)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line

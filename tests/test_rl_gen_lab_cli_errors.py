"""Hints in error messages."""

from rl_gen_lab.cli.errors import suggest


def test_suggestions_ignore_case_and_stay_silent_when_nothing_is_near() -> None:
    assert suggest("pong", ["Breakout", "Pong"]) == " Did you mean 'Pong'?"
    assert suggest("xyz", ["Breakout", "Pong"]) == "" == suggest("xyz", [])

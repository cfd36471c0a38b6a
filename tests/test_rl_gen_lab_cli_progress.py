"""Progress: a first line with a rate, lines at their pace, an ETA that is the smaller of work and time left."""

from __future__ import annotations

import io

import pytest

from rl_gen_lab.cli import progress
from rl_gen_lab.cli.progress import ProgressDisplay, clock


class Clock:
    """Time that passes only when told."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    watch = Clock()
    monkeypatch.setattr(progress, "time", watch)
    return watch


def test_the_first_line_comes_soon_and_has_a_rate_although_updates_wait_until_due(
    watch: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    show = ProgressDisplay("training", 1_000, "steps")
    for done in range(400, 450):  # resumed at 400; ten units a second
        if show.due(done):
            show.update(done, "well")
        watch.now += 0.1
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "training 425/1,000 steps · 10 steps/s · ETA 0:57 · well"


def test_work_in_large_pieces_has_the_rate_of_the_whole_time(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    show = ProgressDisplay("sweep", 16, "trials", in_pieces=True)
    for second in range(601):  # 4 before, then one every two minutes
        show.update(4 + second // 120, "")
        watch.now += 1.0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sweep 4/16 trials · 0.0 trials/min · ETA ?")
    assert lines[-1].startswith("sweep 8/16 trials · 0.4 trials/min · ETA ") and show.done == 9
    assert 60 * show.rate == pytest.approx(0.5)


def test_lines_come_every_ten_seconds(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    show = ProgressDisplay("training", 1_000, "steps")
    for done in range(60):
        show.update(done, "")
        watch.now += 1.0
    assert len(capsys.readouterr().out.splitlines()) == 6  # at 3, 13, 23, 33, 43, 53 seconds


def test_the_eta_is_bounded_by_the_time_left_and_never_negative(watch: Clock) -> None:
    show = ProgressDisplay("training", 100, "steps")
    assert show.eta() == "?" and show.eta(30.0) == "0:30"
    show.rate, show.done = 1.0, 40
    assert show.eta() == "1:00" and show.eta(30.0) == "0:30"
    show.done = 120
    assert show.eta() == "0:00"


def test_hours_are_shown_only_when_there_are_any() -> None:
    assert clock(59) == "0:59" and clock(3_599) == "59:59" and clock(3_661) == "1:01:01"


def test_an_evaluation_does_not_lower_the_rate(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    show = ProgressDisplay("training", 1_000, "steps")
    show.update(0, "")
    watch.now += 5.0
    show.update(50, "")
    for games in range(60):
        watch.now += 1.0
        show.pause(50, f"evaluating: {games} of 60")
    watch.now += 5.0
    show.update(100, "")
    assert show.rate == pytest.approx(10.0)
    lines = capsys.readouterr().out.splitlines()
    assert "training 50/1,000 steps · evaluating: 9 of 60" in lines and len(lines) == 7


def test_evaluations_more_often_than_a_rate_is_measured_leave_a_rate(watch: Clock) -> None:
    show = ProgressDisplay("training", 1_000, "steps")
    for done in range(100):  # ten units a second, an evaluation of two seconds after every tenth
        if show.due(done):
            show.update(done, "")
        watch.now += 0.1
        if done % 10 == 9:
            show.due(done + 1)
            for _ in range(4):
                watch.now += 0.5
                show.pause(done + 1, "evaluating")
    assert show.rate == pytest.approx(10.0, rel=0.1)


def test_a_line_longer_than_the_terminal_is_one_line_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    line = "resume with: python -m agents.dqn --resume " + "/".join(["a-long-folder"] * 20)
    ProgressDisplay("training", 1, "steps").say(line)
    assert line + "\n" in terminal.getvalue()

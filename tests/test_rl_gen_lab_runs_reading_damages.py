"""Damaged, shared and hostile run folders: every command that reads one ends with one line and changes nothing."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import damages
import generator_runs
import latent_runs
import numpy as np
import odd_runs
import pong_models
import pytest
import vision_data
import vision_runs

from agents import dqn
from agents.experiments.jobs import Job, parse_agent
from agents.training.load import newest_run
from agents.training.video import write_mp4
from rl_gen_lab.cli.errors import CheckpointError, SaveError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.lock import FolderBusyError
from rl_gen_lab.runs.reading import misfit
from rl_gen_lab.tracking.wandb_init import run_id
from rl_gen_lab.training import loop
from rl_gen_lab.training.run import train

LONGER = ("--total-env-steps", "64")  # than the run that is resumed
SECONDS = 20  # of one command on one damaged folder
LINES, STATES, OTHERS = 3, 10, 10  # damages of each run: the whole table takes hours
COMMANDS = 3  # for each of the others


@functools.cache
def agent_run() -> Path:
    """A finished run of DQN."""
    return odd_runs.run("dqn", Path(tempfile.mkdtemp()), "CartPole", "--no-film")[0].path


@functools.cache
def vision_run() -> Path:
    """A run of a segmentation that was stopped in its second epoch."""
    folder, goes_on = Path(tempfile.mkdtemp()), loop.Loop._continues

    def stopped(self: loop.Loop) -> bool:
        self._interrupt.asked |= self.updates >= 6
        return goes_on(self)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(loop.Loop, "_continues", stopped)
        with pytest.raises(SystemExit):
            train(vision_runs.config(folder, epochs=2, checkpoint_every_updates=2, data=vision_data.folder()))
    return vision_runs.only_run(folder).path


def commands(kind: str, run: Path, out: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """The commands that read a run, its resume last, for that may write."""

    def call(module: str, *words: object) -> tuple[str, Callable[[], object]]:
        return module, lambda: import_module(module).main([str(word) for word in words])

    yield call("agents.compare", run, "--out", out, "--wandb.mode", "disabled")
    record = ("--what", "x", "--results-dir", out / "results", "--readme", out / "README.md", run)
    for name in ("runs", "compression", "audits", "generator_files"):
        yield call("agents.results", "--record", name, *record)
    yield call("agents.truth", "--run", run, "--frames", 1)
    yield call("agents.observation", run)
    yield call("rl_gen_lab.pack", run, "--out", out / "a.rlz")
    for name in ("audit", "probe", "sample"):
        yield call(f"rl_gen_lab.{name}", run)
    yield call("rl_gen_lab.codec", "compare", run)
    yield call("rl_gen_lab.look", run, "--pictures", 1)
    yield call("agents.play", run, "--episodes", 1, "--film-steps", 2)
    if kind == "agent":
        yield "newest run", lambda: newest_run(run.parent, "best")
        job = Job(parse_agent("dqn"), "CartPole", 1, None, run.parent, WandbConfig("disabled"))
        yield "jobs", lambda: (job.finished(), job.resumable())
        yield call("agents.dqn", "--resume", run, *LONGER)
    yield call("rl_gen_lab.train", "--resume", run)


def sample(kind: str, run: Path) -> list[tuple[str, damages.Damage]]:
    """A part of the table, the same in each run of the tests, with each file and each way to damage it."""
    rng, table = random.Random(kind), list(damages.all_of(run))
    files = [damage for damage in table if damage[0].startswith("metrics") and "first" in damage[0]]
    states = [damage for damage in table if damage[0].startswith("state: ")]
    others = [damage for damage in table if damage not in states and damage not in files]
    return [*rng.sample(files, LINES), *rng.sample(states, STATES), *rng.sample(others, OTHERS)]


class LateError(BaseException):
    """A command that does not end."""


def outcome(command: Callable[[], object]) -> str:
    """How a command ends: "done", "refused" with one line, or what is wrong with its end."""

    def late(*_: object) -> None:
        raise LateError

    errors, before = io.StringIO(), signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            command()
    except SystemExit as end:
        lines = errors.getvalue().splitlines()
        fine = end.code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
        return "refused" if fine else f"exit {end.code}: {lines}"
    except CheckpointError:
        return "refused"
    except (Exception, LateError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "done"


def relevant(what: str, kind: str, damage: str) -> bool:
    """Whether a command reads what is damaged: others have it in their part of the table already."""
    if damage.startswith(("state: ", "checkpoints/latest")):
        return what == ("agents.dqn" if kind == "agent" else "rl_gen_lab.train")
    if damage.startswith("checkpoints/"):
        return what in ("agents.play", "rl_gen_lab.look", "rl_gen_lab.pack", "agents.dqn", "rl_gen_lab.train")
    return not damage.startswith("metrics") or what in ("agents.compare", "agents.results", "agents.dqn")


@pytest.mark.parametrize("kind", ["agent", "vision"])
def test_no_damage_ends_in_a_traceback_or_changes_what_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    # Drawing the figure is most of the time, and what is drawn is computed before.
    monkeypatch.setattr("agents.reports.comparison_folder.write_figure", lambda comparison, file: file.touch())
    monkeypatch.setattr("agents.reports.comparison_folder.write_page", lambda comparison, figure, file: None)
    original = agent_run() if kind == "agent" else vision_run()
    wrong: list[str] = []
    rng = random.Random(kind)
    for number, (name, damage) in enumerate(sample(kind, original)):
        out, run = tmp_path / f"out{number}", tmp_path / f"runs{number}" / original.name
        out.mkdir()
        (out / "README.md").write_text("x")
        shutil.copytree(original, run)
        damage(run)
        before = damages.bytes_of(run)
        readers = [(what, command) for what, command in commands(kind, run, out) if relevant(what, kind, name)]
        for what, command in rng.sample(readers, min(COMMANDS, len(readers))):
            end = outcome(command)
            if end not in ("done", "refused"):
                wrong.append(f"{what}, {name}: {end}")
            if end == "refused" and damages.bytes_of(run) != before:
                wrong.append(f"{what}, {name}: changed what it refused")
            before = damages.bytes_of(run)
    assert not wrong, "\n".join(wrong)


def test_the_table_has_every_file_and_every_entry_of_the_state() -> None:
    for run in (agent_run(), vision_run()):
        names = [name for name, _ in damages.all_of(run)]
        for file in ("config.json", "metrics.jsonl", "result.json", "checkpoints/latest/state.json"):
            assert sum(name.startswith(f"{file}: ") for name in names) > 20
        assert len(names) == len(set(names)) > 2_000


def test_a_run_that_trains_cannot_be_resumed_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for original, module in ((agent_run(), "agents.dqn"), (vision_run(), "rl_gen_lab.train")):
        run = shutil.copytree(original, tmp_path / original.name)
        words = ["--resume", str(run), *(LONGER if module == "agents.dqn" else ())]
        with RunFolder.open(run).lock():
            before = damages.bytes_of(run)
            with pytest.raises(SystemExit) as end:
                import_module(module).main(words)
            said = capsys.readouterr().err
            assert end.value.code == 2 and len(said.splitlines()) == 1
            assert f"is being written by process {os.getpid()} (" in said and "wait for it or end it" in said
            assert damages.bytes_of(run) == before
        import_module(module).main(words)
        assert not (run / ".lock").exists()


WRITERS = {  # commands that write what they find out into the run, and a model that each of them takes
    "look": ("detect",), "caption": ("caption", "--pictures", "1", "--images", "0"),
    "attack": ("caption", "--say"),  # a word that it knows
    "explain.__main__": ("detect", "gradient", "--images", "1"), "sample": ("generate", "--samples", "2"),
    "codec": ("generate", "--frames", "1"), "probe": ("generate",), "audit": ("dream", "--dreams", "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_what_others_write_is_not_written_by_a_command_that_draws(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, *words = WRITERS[name]
    made = {
        "generate": lambda: generator_runs.run_of("vae").path,
        "dream": lambda: latent_runs.dream_run("pixels").path,
    }
    original = made.get(kind, lambda: pong_models.run(kind))()
    run = shutil.copytree(original, tmp_path / original.name)
    argv = [*(["compare"] if name == "codec" else []), str(run), *words]
    argv += [RunFolder.open(run).read_config()["vocabulary"][-1]] if name == "attack" else []
    with RunFolder.open(run).lock():
        before = damages.bytes_of(run)
        with pytest.raises(SystemExit) as end:
            import_module(f"rl_gen_lab.{name}").main(argv)
        said = capsys.readouterr().err
        assert end.value.code == 2 and len(said.splitlines()) == 1
        assert f"is being written by process {os.getpid()} (" in said
        assert damages.bytes_of(run) == before


def test_an_agent_that_trains_is_scored_and_not_filmed(tmp_path: Path) -> None:
    run = shutil.copytree(agent_run(), tmp_path / agent_run().name)
    with RunFolder.open(run).lock():
        before = damages.bytes_of(run)
        said = odd_runs.play(RunFolder.open(run))
        assert "over 2 episodes" in said and f"no video: {run} is being written by process {os.getpid()} (" in said
        assert damages.bytes_of(run) == before
    assert (run / "videos" / "play.mp4").is_file() is False
    odd_runs.play(RunFolder.open(run))
    assert (run / "videos" / "play.mp4").is_file()


def test_of_two_resumes_at_once_one_trains_and_the_other_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(agent_run(), tmp_path / agent_run().name)
    words = ["--resume", str(run), "--total-env-steps", "1000000"]
    first = subprocess.Popen(
        [sys.executable, "-m", "agents.dqn", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    while "resumed at step" not in first.stdout.readline():
        assert first.poll() is None
    with pytest.raises(SystemExit) as end:
        dqn.main(words)
    said = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and len(said) == 1 and f"by process {first.pid} (" in said[0]
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 130 and not (run / ".lock").exists()
    steps = [line["global_step"] for line in RunFolder.open(run).read_metrics()]
    assert steps == sorted(steps) and steps[-1] > 48


def test_a_new_run_is_locked_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.training.session import RecordedRun

    asked, running = [], RecordedRun.running

    def locked(self: RecordedRun) -> bool:
        if not asked:
            with pytest.raises(FolderBusyError) as refused:
                self.run.lock()
            asked.append(str(refused.value))
        return running(self)

    monkeypatch.setattr(RecordedRun, "running", locked)
    odd_runs.run("dqn", tmp_path, "CartPole", "--no-film")
    assert f"process {os.getpid()} (" in asked[0]


def test_pictures_are_not_drawn_through_links(tmp_path: Path) -> None:
    run, mine = shutil.copytree(agent_run(), tmp_path / agent_run().name), tmp_path / "mine"
    mine.write_text("mine")
    for name in ("play.mp4", "play.gif"):
        (run / "videos" / name).unlink(missing_ok=True)
    (run / "videos" / "play.mp4").symlink_to(mine)
    (run / "videos" / "play.gif").hardlink_to(mine)  # a second name of it
    odd_runs.play(RunFolder.open(run))
    assert mine.read_text() == "mine" and (run / "videos" / "play.gif").stat().st_size > 100


def test_ids_and_names_of_a_run_are_no_paths(tmp_path: Path) -> None:
    run, outside = shutil.copytree(agent_run(), tmp_path / "runs" / agent_run().name), "../../../outside"
    config = json.loads((run / "config.json").read_text())
    for name in ("env_id", "exp_name"):
        (run / "config.json").write_text(json.dumps(config | {name: outside}))
        for _, command in commands("agent", run, tmp_path / "out"):
            outcome(command)
    (run / "wandb_id").write_text(outside)
    assert run_id(RunFolder(run)) == (run / "wandb_id").read_text() != outside
    assert not [path for path in tmp_path.rglob("*") if "outside" in path.name]


def test_numbers_that_no_axis_can_show_are_refused() -> None:
    assert misfit(1e99, float) is None
    assert misfit(-1.7e308, float) == "'' must be a number, not -1.7e+308"


def test_a_folder_in_place_of_the_film_is_one_error_and_no_lines_of_ffmpeg(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "final.mp4").mkdir()
    with pytest.raises(SaveError, match=r"final\.mp4: Is a directory"):
        write_mp4(tmp_path / "final.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2)
    assert capfd.readouterr().err == ""

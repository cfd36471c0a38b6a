"""Journals and databases: a torn journal heals, what cannot be used is refused in one line."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from agents.experiments import storage
from agents.experiments.storage import JournalLock, open_storage, require, shown, storage_errors
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, SaveError

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(120)


def study_in(file: Path) -> Any:
    return optuna.create_study(storage=open_storage(str(file)), study_name="s", load_if_exists=True)


@pytest.mark.parametrize(
    "torn", [b'{"op_code": 4, "wor', b"x", b'{"op_code": 4}'], ids=["half", "letter", "no newline"]
)
def test_a_torn_journal_heals_with_the_next_line(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "journal.log"
    study = study_in(file)
    study.enqueue_trial({}, user_attrs={"place": 0})
    whole = file.read_bytes()
    with file.open("ab") as handle:
        handle.write(torn)
    assert len(study_in(file).trials) == 1  # it can be read as it is,
    study.enqueue_trial({}, user_attrs={"place": 1})  # by who had it open written on,
    lines = file.read_bytes().splitlines(keepends=True)
    assert file.read_bytes().startswith(whole) and all(isinstance(json.loads(line), dict) for line in lines)
    assert [trial.user_attrs["place"] for trial in study_in(file).trials] == [0, 1]  # and read again


def test_without_the_healing_a_torn_journal_is_lost(tmp_path: Path) -> None:
    """What the lock is for: Optuna's own leaves the journal unreadable."""
    from optuna.storages import JournalStorage, journal

    file = tmp_path / "journal.log"
    opened = JournalStorage(journal.JournalFileBackend(str(file)))
    study = optuna.create_study(storage=opened, study_name="s")
    with file.open("ab") as handle:
        handle.write(b'{"op_code": 4, "wor')
    with pytest.raises((ValueError, AttributeError)):
        for _ in range(3):
            study.enqueue_trial({})
            optuna.load_study(study_name="s", storage=JournalStorage(journal.JournalFileBackend(str(file)))).trials  # noqa: B018


def _append(file: str, count: int) -> None:
    lock = JournalLock(Path(file))
    for _ in range(count):
        lock.acquire()
        with open(file, "ab", buffering=0) as handle:  # a line in two parts: whoever comes between tears it
            handle.write(b'{"a": ')
            handle.write(b"1}\n")
        lock.release()


@pytest.mark.slow
def test_processes_that_append_at_once_tear_no_line(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_append, args=(str(file), 200)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [json.loads(line) for line in file.read_text().splitlines()] == [{"a": 1}] * 600


def test_the_lock_of_a_journal_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "journal.log.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        JournalLock(tmp_path / "journal.log").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_of_a_journal_dies_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    if (child := os.fork()) == 0:
        JournalLock(file).acquire()
        os._exit(9)  # as after a kill: nothing is released
    os.waitpid(child, 0)
    lock = JournalLock(file)
    assert lock.acquire()
    lock.release()


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    study_in(file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b'{"op_co\n' + b"".join(lines))
    with pytest.raises(CheckpointError, match=r"line 2 of the journal .* cannot be read"):
        open_storage(str(file))


@pytest.mark.parametrize(
    "content", [b"[" * 100_000 + b"\n", b"{}\n", b'{"op_code": "x"}\n', b'{"op_code": 4, "worker_id": 1}\n', None]
)
def test_a_journal_of_something_else_is_one_line_and_stays(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "journal.log"
    if content is None:
        os.mkfifo(file)  # nobody writes into it: to open it would wait forever
    else:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"journal\.log"):
        open_storage(str(file))
    assert content is None or file.read_bytes() == content


def test_a_full_disk_is_one_line_and_costs_no_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "journal.log"
    study = study_in(file)
    study.enqueue_trial({}, user_attrs={"place": 0})
    real = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(SaveError, match=r"could not save .*journal\.log: No space left on device"),
        storage_errors(str(file)),
    ):
        study.enqueue_trial({}, user_attrs={"place": 1})
    monkeypatch.setattr(os, "fsync", real)
    assert study_in(file).trials[0].user_attrs["place"] == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////no/such/folder/study.db", "cannot reach or use the database sqlite:////no/such/folder/study.db: "),
        (
            "postgresql://somebody:secret@127.0.0.1:1/study",
            "needs a Python driver, psycopg, that is not installed",
        ),
        ("nosuch://host/study", "is no URL of a database, such as postgresql://user@host/name"),
        ("://", "is no URL of a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_a_line_without_its_password(url: str, said: str) -> None:
    if "driver" in said and any(map(storage.importlib.util.find_spec, ("psycopg2", "psycopg"))):
        pytest.skip("a driver of PostgreSQL is installed")
    with pytest.raises(ConfigError) as refused:
        open_storage(url)
    assert said in str(refused.value) and "secret" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    assert shown("postgresql://me:secret@host/s") == "postgresql://me:***@host/s"
    assert shown("runs/sweeps/x/journal.log") == "runs/sweeps/x/journal.log"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs optuna, .* the extra `sweep` has it: .*\[sweep\]"):
        require("optuna")

"""A folder that one command writes at a time, by a lock that dies with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.runs import lock
from rl_gen_lab.runs.lock import FolderBusyError, FolderLock

HOLD = "import sys; from pathlib import Path; from rl_gen_lab.runs.lock import FolderLock\n"
HOLD += "held = FolderLock(Path(sys.argv[1]), 'x'); print('held', flush=True); input()"


def test_a_second_holder_is_told_who_the_first_is_and_changes_nothing(tmp_path: Path) -> None:
    with FolderLock(tmp_path, "runs/a") as held:
        before = (tmp_path / ".lock").read_bytes()
        with pytest.raises(FolderBusyError) as refused:
            FolderLock(tmp_path, "runs/a")
        said = str(refused.value)
        assert said.startswith(f"runs/a is being written by process {os.getpid()} (") and ", since 20" in said
        assert f"process {os.getpid()} (python" in said and said.endswith("): wait for it or end it")
        assert (tmp_path / ".lock").read_bytes() == before and held.fileno() > 0
    assert not list(tmp_path.iterdir())
    FolderLock(tmp_path, "runs/a").release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(FolderBusyError, match=f"by process {child.pid} "):
        FolderLock(tmp_path, "runs/a")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (tmp_path / ".lock").exists()
    FolderLock(tmp_path, "runs/a").release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"x", b"[]", b"{}", b"[" * 9_000, b'{"pid": "x"}', b"\xff", b"{" + b"a" * 200_000]
)
def test_a_holder_that_wrote_nonsense_is_another_process(tmp_path: Path, content: bytes) -> None:
    with FolderLock(tmp_path, "runs/a"):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(FolderBusyError, match="by another process: wait"):
            FolderLock(tmp_path, "runs/a")


def test_a_lock_is_not_taken_through_a_link_a_folder_or_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    for make in (lambda at: at.symlink_to(tmp_path / "other"), lambda at: at.mkdir(), os.mkfifo):
        make(tmp_path / ".lock")
        with pytest.raises(SaveError, match="could not lock runs/a"):
            FolderLock(tmp_path, "runs/a")
        (tmp_path / ".lock").rename(tmp_path / f"was {len(list(tmp_path.iterdir()))}")
    assert (tmp_path / "other").read_text() == "mine"
    with pytest.raises(SaveError, match="could not lock runs/b"):
        FolderLock(tmp_path / "missing", "runs/b")


def test_a_second_name_of_another_file_and_a_file_of_somebody_s_own_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    os.link(tmp_path / "config.json", tmp_path / ".lock")
    with pytest.raises(SaveError, match="no lock of a run; move it away"):
        FolderLock(tmp_path, "runs/a")
    assert (tmp_path / "config.json").read_text() == "mine"
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").write_text("notes")
    with pytest.raises(SaveError, match="no lock of a run"):
        FolderLock(tmp_path, "runs/a")
    assert (tmp_path / ".lock").read_text() == "notes"
    for left in ("", '{"pi', '{"pid": 4, "command": "x"}'):  # by kills
        (tmp_path / ".lock").write_text(left)
        FolderLock(tmp_path, "runs/a").release()
        assert not (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with FolderLock(tmp_path, "runs/a"):
        assert "runs/a cannot be locked (No locks available)" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_file_of_an_inherited_lock_stays(tmp_path: Path) -> None:
    FolderLock(tmp_path, "runs", inherited=True).release()
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_where_bytes_are_locked_a_second_holder_is_told_too_and_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: bytes of the file are locked, and a file that is open cannot be removed."""
    locked: dict[int, int] = {}  # descriptors by the place they locked
    system = (os.close, Path.unlink)

    def locking(descriptor: int, mode: int, count: int) -> None:
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        if (mode, count) != (7, 1) or place in locked:
            raise OSError(errno.EACCES, "Permission denied")
        locked[place] = descriptor

    def close(descriptor: int) -> None:
        for place in [place for place, holder in locked.items() if holder == descriptor]:
            del locked[place]
        system[0](descriptor)

    def unlink(path: Path) -> None:
        assert not locked
        system[1](path)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=7), raising=False)
    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(Path, "unlink", unlink)
    with FolderLock(tmp_path, "runs/a"):
        with pytest.raises(FolderBusyError, match=f"by process {os.getpid()} "):
            FolderLock(tmp_path, "runs/a")
        (place,) = locked
        assert place > (tmp_path / ".lock").stat().st_size
    assert not locked and not list(tmp_path.iterdir())
    FolderLock(tmp_path, "runs/a").release()

"""Where a study is kept: a journal file (one host, or a shared disk with sound locks), or a database by its URL."""

from __future__ import annotations

import importlib.util
import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.files import drop_torn_tail, save_errors
from rl_gen_lab.runs.reading import first_line, open_file, printable

try:
    import fcntl
except ImportError:  # Windows: Optuna's own lock, a file that a kill leaves behind for half a minute
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LINE = b'{"op_code":'  # as each line of a journal begins
CREATE_STUDY, CREATE_TRIAL = 0, 4  # operations of a journal
LONGEST_LINE, MOST_BYTES = 2**24, 2**32
ATTEMPTS, PAUSE_SECONDS = 6, 0.5  # while another process makes the tables of a database


def require(package: str, extra: str = "sweep") -> None:
    """Raise ConfigError that names the extra where an optional package is not installed."""
    if importlib.util.find_spec(package) is None:
        how = f'.venv/bin/python -m pip install -c constraints.txt -e ".[{extra}]"'
        raise ConfigError(f"this needs {package}, which is not installed; the extra `{extra}` has it: {how}")


class JournalLock:
    """The right to append to a journal; taking it cuts off the half line that a kill or a full disk left.

    The lock is that of the system, on a file beside the journal: it dies with its process. Without the cut the next
    line would be glued to the half one, and the journal could not be read again.
    """

    def __init__(self, journal: Path) -> None:
        """Name the journal; nothing is opened yet."""
        self._journal, self._file = journal, journal.with_name(f"{journal.name}.lock")
        self._descriptor = -1

    def acquire(self) -> bool:
        """Wait for the lock. Raises: OSError."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with self._journal.open("ab+") as file:
                drop_torn_tail(file)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the journal free."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


@contextmanager
def storage_errors(shown: str) -> Iterator[None]:
    """Turn what a database, a disk or a damaged journal raise into errors of one line. shown: the storage."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        with save_errors(Path(shown)):
            yield
    except ImportError as error:
        raise ConfigError(f"{shown} needs a Python driver{_driver(shown)} that is not installed") from error
    except ArgumentError as error:
        raise ConfigError(f"{shown} is no URL of a database, such as postgresql://user@host/name: {error}") from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raised = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        reason = printable(str(getattr(raised, "orig", None) or raised).strip().splitlines()[0])
        raise ConfigError(f"cannot reach or use the database {shown}: {reason}") from error


def _driver(url: str) -> str:
    """Return ", NAME," of the package that connects to a database; "" where that is not known."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return f", {make_url(url).get_driver_name()},"
    except SQLAlchemyError:
        return ""


@contextmanager
def damaged_study(shown: str) -> Iterator[None]:
    """Turn what Optuna raises while it reads what it has not written into CheckpointError. shown: the storage."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says what is wrong
            yield
    except (LookupError, ValueError, AssertionError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"the study in {shown} is damaged: {printable(first_line(error))}") from error


def shown(storage: str) -> str:
    """Return a storage as it may be printed: without the password of a URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(storage).render_as_string(hide_password=True) if "://" in storage else storage
    except ArgumentError:
        return storage.partition("://")[0] + "://..."


def open_storage(storage: str) -> BaseStorage:
    """Open a journal (a path) or a database (a URL), made where absent. Raises: UserError."""
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage_errors(shown(storage)):
        if "://" in storage:
            with damaged_study(shown(storage)):
                return _open_database(storage)
        file = Path(storage)
        file.parent.mkdir(parents=True, exist_ok=True)
        _refuse_damaged(file)
        lock: Any = JournalLock(file) if fcntl is not None else journal.JournalFileOpenLock(storage)
        backend = journal.JournalFileBackend(storage, lock_obj=lock)
        try:
            with warnings.catch_warnings(action="ignore"):
                return optuna.storages.JournalStorage(backend)  # which reads it at once
        except OSError:
            raise
        except Exception as error:  # of lines that are JSON, but none of Optuna's
            raise CheckpointError(f"cannot read the journal {file}: {first_line(error)}; move it away") from error


def _open_database(url: str) -> BaseStorage:
    """Open a database; again where another process made its tables in the same moment."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, OperationalError

    for attempt in range(ATTEMPTS):
        try:
            return RDBStorage(url)
        except (OperationalError, IntegrityError) as error:
            made_meanwhile = "already exists" in str(error) or isinstance(error, IntegrityError)
            if attempt == ATTEMPTS - 1 or not made_meanwhile:
                raise
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _refuse_damaged(file: Path) -> None:
    """Raise CheckpointError for a line, other than a torn last one, that is no JSON object."""
    if file.is_symlink():
        raise CheckpointError(f"the journal {file} is a link; name the file itself")
    if not file.exists():
        return
    with open_file(file) as lines:
        if os.fstat(lines.fileno()).st_size > MOST_BYTES:
            raise CheckpointError(f"the journal {file} has more than {MOST_BYTES:,} bytes")
        trials = 0
        for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), b""), 1):
            if number == 1 and not (line.startswith(LINE) or LINE.startswith(line)):  # a torn line would be cut off
                raise CheckpointError(f"{file} is of no journal of a study: choose another file")
            try:
                entry = json.loads(line)
                wrong = line.endswith(b"\n") and not isinstance(entry, dict)
            except (ValueError, RecursionError):
                entry, wrong = None, line.endswith(b"\n")
            if isinstance(entry, dict):
                operation = entry.get("op_code")
                trials += operation == CREATE_TRIAL
                trial = entry.get("trial_id")
                unknown = isinstance(trial, int) and trial >= trials
                if unknown or (number == 1 and operation != CREATE_STUDY):
                    raise CheckpointError(
                        f"line {number:,} of the journal {file} is about what no line before has made"
                    )
            if wrong:
                raise CheckpointError(
                    f"line {number:,} of the journal {file} cannot be read; delete that line, or move the file away"
                )

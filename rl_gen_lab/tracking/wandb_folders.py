"""The folders that Weights & Biases writes to during a run: all of them in the run folder.

Read from wandb 0.31: artifacts are staged in WANDB_DATA_DIR; the logs of its service and what was uploaded lie in
WANDB_CACHE_DIR; media and artifacts are made in folders of `tempfile`, two of them when wandb is imported, and stay
where a run is killed. The sockets of its service stay in the system's folder: their paths must be short, and the
service removes them when its program is gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class WandbFolders:
    """Redirects what W&B writes, `temporary` while it is called and the environment from `open` to `close`."""

    def __init__(self, run_folder: Path) -> None:
        """Name the run folder; nothing is made yet."""
        self.path = run_folder / "wandb"
        self._own = self.path / "tmp" / str(os.getpid())  # the two folders of the import live as long as the process
        self._before: dict[str, str | None] = {}

    def open(self) -> None:
        """Point W&B's environment variables into the run folder; a cache folder of the user's own stays."""
        ours = {"WANDB_DATA_DIR": self.path}
        if not os.environ.get("WANDB_CACHE_DIR"):
            ours["WANDB_CACHE_DIR"] = self.path / "cache"
        for name, folder in ours.items():
            self._before.setdefault(name, os.environ.get(name))
            os.environ[name] = str(folder)

    def close(self) -> None:
        """Restore the environment; a second call does nothing."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()

    def problem(self) -> str | None:
        """Say why W&B cannot write its own folder or its logs; None where it can.

        Asked before it starts: its service would print its whole log on the screen, and its run might go nowhere.
        """
        if (link := self._link()) is not None:
            return f"{link}: it is a link, and what it points to is not of this run"
        cache = os.environ.get("WANDB_CACHE_DIR")
        for folder in (self.path, Path(cache) if cache else self.path / "cache"):
            made = [folder, *folder.parents]
            try:
                there = next(path for path in made if path.exists())
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                return f"{folder}: {error.strerror or error}"
            for new in made[: made.index(there)]:
                with suppress(OSError):
                    new.rmdir()
        return None

    def _link(self) -> Path | None:
        """Return the first of these folders that is a link; None where all are the run's own."""
        folders = (self.path, self._own.parent, self._own, self.path / "cache")
        return next((folder for folder in folders if folder.is_symlink()), None)

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Redirect all of it for a while."""
        self.open()
        try:
            with self.temporary():
                yield
        finally:
            self.close()

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Let `tempfile` work in the run folder; where none can be made there, in the system's folder as before."""
        before = tempfile.tempdir
        if not self._own.is_dir():
            self._prepare()
        if self._own.is_dir():
            tempfile.tempdir = str(self._own)
        try:
            yield
        finally:
            tempfile.tempdir = before

    def _prepare(self) -> None:
        """Make the folder, and remove what earlier, killed parts of the run left there."""
        if self._link() is not None:  # nothing is removed elsewhere
            return
        for leftover in self._own.parent.glob("*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with suppress(OSError):
            self._own.mkdir(parents=True, exist_ok=True)
            # Finalizers run in reverse order: this one after those of the folders that W&B makes in it.
            weakref.finalize(WandbFolders, _remove_empty, self._own)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        for empty in (folder, folder.parent, folder.parent.parent):
            empty.rmdir()

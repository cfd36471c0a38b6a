"""The folder of a run: its configuration, metrics, result, checkpoints and videos.

Everything that a report needs is here, with or without Weights & Biases. `rl_gen_lab.runs.checkpoints` writes the
checkpoints.
"""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, SaveError, suggest
from rl_gen_lab.cli.wording import count
from rl_gen_lab.runs import schemas
from rl_gen_lab.runs.files import LineFile, plain, replace_file, save_errors, write_json
from rl_gen_lab.runs.lock import FolderLock
from rl_gen_lab.runs.reading import misfit, open_file, parse, printable, read_json

STRICT_JSON = json.JSONEncoder(allow_nan=False)  # made once: small environments end an episode every few steps
LONGEST_PATH = 4_096
LONGEST_LINE = 2**20  # of metrics.jsonl [bytes]
MOST_METRICS_BYTES = 2**32
_said: set[tuple[Path, int]] = set()


class RunFolder:
    """The record of a run on disk: the local copy of everything that a report needs."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is read or written yet."""
        self._typed = Path(path)
        self.path = self._typed.absolute()  # an environment may change the working directory
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.checkpoints = self.path / "checkpoints"
        self.videos = self.path / "videos"
        self._metrics = LineFile(self.metrics_file)
        self._described = False  # whether config.json was there

    def __str__(self) -> str:
        """Return the path as it was given, for messages: a folder may have any name."""
        return printable(str(self._typed), LONGEST_PATH)

    def shown(self, file: Path) -> str:
        """Return the path of a file of this folder as the folder was given, for messages."""
        return printable(str(self._typed / file.relative_to(self.path)), LONGEST_PATH)

    @classmethod
    def create(cls, root: Path, algo: str, env: str, seed: int) -> "RunFolder":
        """Make `<root>/<algo>__<env>__<seed>__<time>`, with -2, -3 ... where it exists. Raises SaveError."""
        parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part) for part in (algo, env, str(seed))]
        name = "__".join([*parts, time.strftime("%Y%m%d-%H%M%S")])
        with save_errors(root):
            Path(root).mkdir(parents=True, exist_ok=True)
            number = 1
            while True:
                run = cls(Path(root) / (name if number == 1 else f"{name}-{number}"))
                try:
                    run.path.mkdir()
                except FileExistsError:
                    number += 1
                    continue
                run.checkpoints.mkdir()
                run.videos.mkdir()
                return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of an earlier run. Raises CheckpointError when it is not one."""
        run = cls(path)
        try:
            run._refuse_others()
            run._described = True
        except OSError as error:
            raise CheckpointError(f"cannot read {run}: {error.strerror}") from error
        return run

    def _refuse_others(self) -> None:
        """Raise CheckpointError for what is no run folder, OSError where the system does not tell."""
        if not self.path.is_dir():
            if self.path.exists():
                raise CheckpointError(f"{self} is a file; a run is a folder, which holds {self.config_file.name}")
            siblings = [entry.name for entry in self.path.parent.glob("*/")]
            raise CheckpointError(f"no run folder at {self}.{suggest(self.path.name, siblings)}")
        if not self.config_file.is_file():
            raise CheckpointError(f"{self} is not a run folder: it holds no {self.config_file.name}")

    def lock(self) -> FolderLock:
        """Take the right to write in this folder, before anything is written there; `release` it at the end.

        Raises: FolderBusyError, SaveError; CheckpointError where what is to be written has been replaced by a link.
        """
        lock = FolderLock(self.path, str(self))
        try:
            self._refuse_links()
        except BaseException:
            lock.release()
            raise
        return lock

    def _refuse_links(self) -> None:
        """Raise CheckpointError where what this folder holds lies elsewhere: that is not ours to write."""
        for file in (self.config_file, self.metrics_file, self.result_file):
            if file.is_symlink() or (file.exists() and not file.is_file()):
                raise CheckpointError(f"{self.shown(file)} is a link, a folder or a pipe, no file of its own")
        for folder in (self.checkpoints, self.checkpoints / "latest", self.videos, self.path / "pictures"):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise CheckpointError(f"could not save in {self.shown(folder)}: a link or a file, no folder of its own")

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json whole or not at all. Raises SaveError."""
        write_json(self.config_file, config)
        self._described = True

    def read_config(self, *needed: str) -> dict[str, Any]:
        """Read config.json. Raises CheckpointError, also where it lacks what is `needed`."""
        config = read_json(self.config_file, schemas.CONFIG)
        if missing := [name for name in needed if name not in config]:
            raise CheckpointError(
                f"{self.config_file} lacks {', '.join(missing)}; was it written by this project, and for this command?"
            )
        return config

    def made_by(self) -> str:
        """Return the command that made this run, such as "python -m agents.dqn"."""
        words = self.read_config().get("command")
        return str(words[0]) if isinstance(words, list) and words else "another command"

    def refuse_gone(self) -> None:
        """Raise SaveError where this folder was moved or removed: writing would make another one of its name.

        Also where a part of it became a link since it was locked, or what makes it a run folder is gone.
        """
        if not self.path.is_dir():
            raise SaveError(f"{self} is no longer there: was it moved or removed?")
        try:
            self._refuse_links()
        except CheckpointError as error:
            raise SaveError(str(error)) from error
        if self._described and not self.config_file.exists():
            raise SaveError(f"{self} has lost its {self.config_file.name}: nothing could read it again")

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json whole or not at all. Raises SaveError."""
        self.refuse_gone()
        write_json(self.result_file, result)

    def read_result(self) -> dict[str, Any]:
        """Read result.json. Raises CheckpointError, also when the run has not ended yet."""
        return read_json(self.result_file, schemas.RESULT)

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Append a line, handed to the system at once; NaN and infinity become null. Raises SaveError."""
        line = STRICT_JSON.encode(plain(metrics)) + "\n"
        with save_errors(self.metrics_file):
            self._metrics.append(line.encode())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read all lines but a last one that a kill cut short; those that are no metrics are left out, which is said.

        Raises CheckpointError where the file itself cannot be read.
        """
        return self._metrics_lines()[0]

    def _metrics_lines(self) -> tuple[list[dict[str, Any]], int]:
        """As `read_metrics`, with the number of lines that were left out."""
        if not self.metrics_file.exists() and not self.metrics_file.is_symlink():
            return [], 0
        rows, wrong = [], []
        with open_file(self.metrics_file) as file:
            if os.fstat(file.fileno()).st_size > MOST_METRICS_BYTES:
                raise CheckpointError(f"{self.shown(self.metrics_file)} has more than {MOST_METRICS_BYTES:,} bytes")
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                row = row_of(line)
                if row is not None:
                    rows.append(row)
                elif line.endswith(b"\n") or len(line) == LONGEST_LINE:  # else it is the torn one
                    wrong.append(number)
        if wrong and (self.metrics_file, len(wrong)) not in _said:  # a command may read them twice
            _said.add((self.metrics_file, len(wrong)))
            lines = f"{count(len(wrong), 'line')} of {number:,} cannot be read and are left out"
            print(f"{self.shown(self.metrics_file)}: {lines}, the first is line {wrong[0]:,}", flush=True)
        return rows, len(wrong)

    def truncate_metrics(self, global_step: int) -> None:
        """Drop the lines after `global_step`: the record of a resumed run is then that of one never stopped.

        Where lines could not be read, the file as it was is kept beside, once.
        """
        rows, unreadable = self._metrics_lines()
        if unreadable:
            copy = self.metrics_file.with_name("metrics.damaged.jsonl")
            if not copy.exists():
                replace_file(copy, lambda file: shutil.copyfile(self.metrics_file, file))
            print(f"{self.shown(self.metrics_file)}: as it was it is kept in {copy.name}", flush=True)
        kept = [line for line in rows if line["global_step"] <= global_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        replace_file(self.metrics_file, lambda file: file.write_text(text, encoding="utf-8"))


def row_of(line: bytes) -> dict[str, Any] | None:
    """Return the numbers of a line of metrics.jsonl by their names; None where it is none, or torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = parse(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and misfit(row, schemas.LINE) is None else None

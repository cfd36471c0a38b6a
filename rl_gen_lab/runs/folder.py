"""The folder of a run: its configuration, metrics, result, checkpoints and videos.

Everything that a report needs is here, with or without Weights & Biases. `rl_gen_lab.runs.checkpoints` writes the
checkpoints.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, suggest
from rl_gen_lab.runs.files import LineFile, plain, read_json, replace_file, save_errors, write_json

STRICT_JSON = json.JSONEncoder(allow_nan=False)  # made once: small environments end an episode every few steps


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

    def __str__(self) -> str:
        """Return the path as it was given, for messages."""
        return str(self._typed)

    def shown(self, file: Path) -> str:
        """Return the path of a file of this folder as the folder was given, for messages."""
        return str(self._typed / file.relative_to(self.path))

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
        if not run.path.is_dir():
            if run.path.exists():
                raise CheckpointError(f"{run} is a file; a run is a folder, which holds {run.config_file.name}")
            siblings = [entry.name for entry in run.path.parent.glob("*/")]
            raise CheckpointError(f"no run folder at {run}.{suggest(run.path.name, siblings)}")
        if not run.config_file.is_file():
            raise CheckpointError(f"{run} is not a run folder: it holds no {run.config_file.name}")
        return run

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json whole or not at all. Raises SaveError."""
        write_json(self.config_file, config)

    def read_config(self) -> dict[str, Any]:
        """Read config.json. Raises CheckpointError."""
        return read_json(self.config_file)

    def made_by(self) -> str:
        """Return the command that made this run, such as "python -m agents.dqn"."""
        words = self.read_config().get("command")
        return str(words[0]) if isinstance(words, list) and words else "another command"

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json whole or not at all. Raises SaveError."""
        write_json(self.result_file, result)

    def read_result(self) -> dict[str, Any]:
        """Read result.json. Raises CheckpointError, also when the run has not ended yet."""
        return read_json(self.result_file)

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Append a line, handed to the system at once; NaN and infinity become null. Raises SaveError."""
        line = STRICT_JSON.encode(plain(metrics)) + "\n"
        with save_errors(self.metrics_file):
            self._metrics.append(line.encode())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read all lines except a last one that a kill cut short. Raises CheckpointError for another damaged line."""
        try:
            lines = self.metrics_file.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
        except FileNotFoundError:
            return []
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise CheckpointError(f"{self.metrics_file}, line {number} is damaged: {error}") from error
        return rows

    def truncate_metrics(self, global_step: int) -> None:
        """Drop the lines after `global_step`: the record of a resumed run is then that of one never stopped."""
        kept = [line for line in self.read_metrics() if line.get("global_step", global_step) <= global_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        replace_file(self.metrics_file, lambda file: file.write_text(text, encoding="utf-8"))

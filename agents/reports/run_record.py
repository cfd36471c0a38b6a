"""The record of a run: everything that reports read from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.cli.spelling import current_keys
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import describe_hardware
from rl_gen_lab.runs.reading import printable


class RunDataError(UserError):
    """A run whose record lacks what a report needs."""


@dataclass(frozen=True)
class RunRecord:
    """The files of a run folder, read once."""

    # Absolute path.
    folder: Path
    # config.json.
    config: dict[str, Any]
    # Lines of metrics.jsonl in order.
    metrics: list[dict[str, Any]]
    # result.json, or {} while there is none.
    result: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.folder.name

    @property
    def exp_name(self) -> str:
        """The agent, e.g. "dqn" or "sb3_dqn"."""
        return str(self.config["exp_name"])

    @property
    def env_id(self) -> str:
        """Full Gymnasium id."""
        return str(self.config["env_id"])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """{"text", "hash", "fields"} of the task."""
        return dict(self.config["fingerprint"])

    @property
    def status(self) -> str:
        """ "finished", "interrupted", "failed", or "no result" while there is none."""
        return printable(str(self.result.get("status", "no result")))

    @property
    def solved(self) -> bool:
        """Return whether the run stopped because it had solved the task."""
        return bool(self.result.get("solved"))

    @property
    def final_returns(self) -> list[float]:
        """Returns of the final evaluation's episodes; empty when there was none."""
        return [float(value) for value in (self.result.get("final_eval") or {}).get("returns") or []]

    @property
    def env_steps(self) -> int:
        """Agent steps taken, from the result or else from the last line of metrics."""
        last = max((int(line["global_step"]) for line in self.metrics), default=0)
        return int(self.result.get("total_env_steps") or last)

    @property
    def minutes(self) -> float:
        """Wall-clock minutes of the run, over all its resumes."""
        last = max((float(line["wall_seconds"]) for line in self.metrics), default=0.0)
        return float(self.result.get("wall_seconds") or last) / 60.0

    @property
    def steps_per_second(self) -> float | None:
        """Agent steps per second as the run reported it, or else over its wall-clock time."""
        reported = self.result.get("steps_per_second")
        if reported is None and self.minutes > 0:
            return self.env_steps / (60.0 * self.minutes)
        return None if reported is None else float(reported)

    @property
    def peak_memory_mb(self) -> float | None:
        """Largest resident memory [MB]."""
        logged = [line["charts/peak_memory_mb"] for line in self.metrics if "charts/peak_memory_mb" in line]
        values = [float(value) for value in [*logged, self.result.get("peak_memory_mb")] if value is not None]
        return max(values, default=None)

    @property
    def updates(self) -> int | None:
        """Number of gradient updates."""
        value = self.result.get("updates")
        return None if value is None else int(value)

    @property
    def threads(self) -> int | None:
        """CPU threads of the network, from the config."""
        device = self.config.get("config", {}).get("device")
        value = device.get("threads") if isinstance(device, dict) else self.config["config"].get("threads")
        return None if value is None else int(value)

    @property
    def processes(self) -> int:
        """Number of processes that trained together."""
        return int((self.config.get("ranks") or {}).get("size") or 1)

    @property
    def hardware(self) -> str:
        """The machine in a few words: CPU, cores, memory, GPU."""
        return describe_hardware(self.config.get("hardware") or {})


def load_run(path: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        RunDataError: the folder's config lacks a field that every report needs.
        CheckpointError: it is not a run folder.
    """
    folder = RunFolder.open(path)
    config: dict[str, Any] = current_keys(folder.read_config())
    missing = [key for key in ("config", "env_id", "exp_name", "seed", "fingerprint") if key not in config]
    if missing:
        if (command := folder.made_by()).startswith("python -m rl_gen_lab."):
            raise RunDataError(f"{path} is a run of {command}, not of an agent")
        raise RunDataError(f"{folder.config_file}: lacks {', '.join(missing)}; was it written by this project?")
    result = folder.read_result() if folder.result_file.exists() else {}
    timed = [line for line in folder.read_metrics() if "wall_seconds" in line]  # as every line that a run writes
    return RunRecord(path.resolve(), config, timed, result)

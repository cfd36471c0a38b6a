"""Jobs: training runs to make, their commands and folders.

A finished run is found again by what it is (agent, environment, seed, limits, flags), so that it is never made twice.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.training.cli import parse
from envs import names
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, suggest
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.cli.spelling import current_flags
from rl_gen_lab.runs.folder import RunFolder

OUR_AGENTS = ("dqn", "reinforce", "actor_critic", "ppo")
SB3_AGENTS = ("dqn", "a2c", "ppo")
# Flags that a job itself gives to a run.
JOB_FLAGS = ("--algo", "--env", "--seed", "--total-minutes", "--runs-dir")
# Flags that make no new run.
OTHER_FLAGS = ("-h", "--help", "--resume")
LAST_SEED = 2**63 - 1


@dataclass(frozen=True)
class AgentSpec:
    """An agent as named on the command line."""

    # The name that its runs carry in their config, e.g. "sb3_dqn".
    exp_name: str
    module: str
    # Flags that select it, e.g. ["--algo", "dqn"].
    selection: list[str]
    # Flags of the user.
    flags: list[str]


def parse_agent(text: str) -> AgentSpec:
    """Read an agent: "dqn" is ours, "sb3:dqn" is Stable-Baselines3's; flags may follow in the same text.

    Raises:
        ConfigError: no such agent, with the nearest name; a flag that the job itself gives or that makes no new run.
    """
    try:
        name, *flags = shlex.split(text) or [""]
    except ValueError as error:  # an open quotation
        raise ConfigError(f"cannot read the agent {text!r}: {error}") from error
    ours = [agent for agent in OUR_AGENTS if importlib.util.find_spec(f"agents.{agent}")]
    known = [*ours, *(f"sb3:{algo}" for algo in SB3_AGENTS)]
    if name not in known:
        raise ConfigError(f"unknown agent '{name}'.{suggest(name, known)} Known: {', '.join(known)}.")
    for word in flags:
        if (flag := word.partition("=")[0].replace("_", "-")) in JOB_FLAGS:
            raise ConfigError(
                f"every run of this command gets its own {flag}; it cannot be a flag of the agent '{text}'"
            )
        if flag in OTHER_FLAGS:
            raise ConfigError(f"every run of this command is a new one; {flag} cannot be a flag of the agent '{text}'")
    family, _, algo = name.rpartition(":")
    if family:
        return AgentSpec(f"sb3_{algo}", "agents.sb3", ["--algo", algo], flags)
    return AgentSpec(name, f"agents.{name}", [], flags)


def user_flags(words: Sequence[str]) -> list[str]:
    """Return the sorted flags of a command that make it another agent: without those of a job and of W&B."""
    flags: list[list[str]] = []
    for word in current_flags(list(words)):
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            flags.append([flag.replace("_", "-"), *([value] if equals else [])])
        elif flags:
            flags[-1].append(word)
    return sorted(" ".join(flag) for flag in flags if flag[0] not in JOB_FLAGS and not flag[0].startswith("--wandb"))


@dataclass(frozen=True)
class Job:
    """A training run to make."""

    agent: AgentSpec
    # Environment, by short name or id.
    env: str
    seed: int
    # Wall-clock minutes that it may take (None: no limit).
    minutes: float | None
    runs_dir: Path
    wandb: WandbConfig

    @property
    def env_id(self) -> str:
        """Full Gymnasium id."""
        return names.resolve(self.env)

    def command(self) -> list[str]:
        """Return the command line that makes the run."""
        agent, wandb = self.agent, self.wandb
        words = [sys.executable, "-m", agent.module, *agent.selection, "--env", self.env, "--seed", str(self.seed)]
        if self.minutes is not None:
            words += ["--total-minutes", f"{self.minutes:g}"]
        words += ["--runs-dir", str(self.runs_dir), "--wandb.mode", wandb.mode]
        labels = {name: getattr(wandb, name) for name in ("project", "entity", "notes", "tags")}
        for name, value in labels.items():
            if value:
                words += [f"--wandb.{name}", *([value] if isinstance(value, str) else value)]
        return words + agent.flags

    def resume_command(self, folder: Path) -> list[str]:
        """Return the command line that continues the run."""
        return [sys.executable, "-m", self.agent.module, "--resume", str(folder)]

    def log_file(self, folder: Path) -> Path:
        """Return the file in `folder` that gets the output of the run."""
        return folder / f"{self.agent.exp_name}__{names.short_name(self.env_id).replace('/', '-')}__{self.seed}.log"

    def finished(self) -> Path | None:
        """Find the newest finished run of this agent, environment, seed, minutes and flags."""
        return next(iter(self._runs("finished")), None)

    def resumable(self) -> Path | None:
        """Find the newest such run that was stopped and can be resumed exactly."""
        if self.agent.module == "agents.sb3":  # resuming is not exact
            return None
        stopped = self._runs("interrupted", "no result")
        return next((folder for folder in stopped if any((folder / "checkpoints").glob("latest*"))), None)

    def folders(self) -> list[Path]:
        """Return the folders that by their names are of runs of this agent and seed."""
        return sorted(self.runs_dir.glob(f"{self.agent.exp_name}__*__{self.seed}__*/"))

    def _runs(self, *statuses: str) -> list[Path]:
        """Return the folders of the runs with one of these statuses, newest first."""
        wanted = (self.agent.exp_name, self.env_id, self.seed, self.minutes, user_flags(self.agent.flags))
        started = []
        for folder in self.folders():
            try:
                config, status = _config_and_status(RunFolder(folder))
            except CheckpointError:  # not a run, or one that `damaged_runs` names
                continue
            limits = config.get("config", {}).get("run")
            minutes = limits.get("total_minutes") if isinstance(limits, dict) else None
            identity = (config.get("exp_name"), config.get("env_id"), config.get("seed"), minutes)
            flags = user_flags([str(word) for word in config.get("command", [])])
            if (*identity, flags) == wanted and status in statuses:
                started.append((str(config.get("started")), folder))
        return [folder for _, folder in sorted(started, reverse=True)]


def _config_and_status(run: RunFolder) -> tuple[dict[str, Any], Any]:
    """Read the settings of a run and how it ended. Raises: CheckpointError."""
    config = run.read_config()
    return config, run.read_result().get("status") if run.result_file.exists() else "no result"


def damaged_runs(jobs: Sequence[Job]) -> list[str]:
    """Return a sentence for each run of these jobs that cannot be read, and is made again as if it were not there."""
    sentences = []
    for folder in sorted({folder for job in jobs for folder in job.folders()}):
        run = RunFolder(folder)
        try:
            if run.config_file.exists():  # a run killed as it began has none
                _config_and_status(run)
        except CheckpointError as error:
            sentences.append(f"passed over, and left as it is: {error}")
    return sentences


def refuse_wrong_flags(jobs: Sequence[Job]) -> None:
    """Read the command lines of jobs as the runs will, before any is made. Raises: ConfigError, UnknownEnvError."""
    for job in {(job.agent.exp_name, job.env, *job.agent.flags): job for job in jobs}.values():  # one of all seeds
        agent_file = importlib.import_module(job.agent.module)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # each run names its preset itself
                parse(agent_file.Config, job.agent.exp_name, job.command()[3:])
        except ConfigError as error:
            raise ConfigError(f"{job.agent.exp_name} on {job.env}: {error}") from error


def seeds_from(first: int, number: int) -> range:
    """Return the seeds of so many runs. Raises: ConfigError where one is larger than a seed can be."""
    if first + number - 1 > LAST_SEED:
        raise ConfigError(f"--first-seed {first} and --seeds {number}: seeds are at most {LAST_SEED}")
    return range(first, first + number)

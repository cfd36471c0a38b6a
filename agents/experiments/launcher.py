"""Training runs made by the commands that a person would type: each once, several at a time where asked for.

A finished run is found again by what it is (agent, world, seed, limits, flags) and never made twice. Where asked for,
one of ours that was stopped or killed goes on from its checkpoint, which is exact; one of Stable-Baselines3's begins
anew, because its resuming is not. Meanwhile the folder is locked, also by runs that outlive a killed parent: two
commands never write the same run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from envs import names
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, UserError, suggest
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

OUR_AGENTS = ("dqn", "reinforce", "actor_critic", "ppo")
SB3_AGENTS = ("dqn", "a2c", "ppo")
# Flags that a job itself gives to a run.
OWN_FLAGS = ("--algo", "--env", "--seed", "--total-minutes", "--runs-dir")
SECONDS_BETWEEN_LOOKS = 0.2


class RunFailedError(UserError):
    """A run that was started ended with an error."""


class FolderBusyError(UserError):
    """Runs are already being made in this folder."""


@dataclass(frozen=True)
class AgentSpec:
    """An agent as named on the command line."""

    # The name that its runs carry in their config, e.g. "sb3_dqn".
    exp_name: str
    module: str
    # Flags that select it, e.g. ["--algo", "dqn"].
    choice: list[str]
    # Flags of the user.
    flags: list[str]


def parse_agent(text: str) -> AgentSpec:
    """ "dqn" is ours, "sb3:dqn" is Stable-Baselines3's; flags may follow in the same word.

    Raises:
        ConfigError: no such agent, with the nearest name; a flag that is not the user's to give.
    """
    try:
        name, *flags = shlex.split(text) or [""]
    except ValueError as error:  # a quotation without an end
        raise ConfigError(f"cannot read the agent {text!r}: {error}") from error
    ours = [agent for agent in OUR_AGENTS if importlib.util.find_spec(f"agents.{agent}")]
    known = [*ours, *(f"sb3:{algo}" for algo in SB3_AGENTS)]
    if name not in known:
        raise ConfigError(f"unknown agent '{name}'.{suggest(name, known)} Known: {', '.join(known)}.")
    for flag in flags:
        if (own := flag.partition("=")[0].replace("_", "-")) in OWN_FLAGS:
            raise ConfigError(f"{own} is given to every run of this command; it cannot be a flag of the agent '{text}'")
    family, _, algo = name.rpartition(":")
    if family:
        return AgentSpec(f"sb3_{algo}", "agents.sb3", ["--algo", algo], flags)
    return AgentSpec(name, f"agents.{name}", [], flags)


def foreign_flags(words: Sequence[str]) -> list[str]:
    """Sorted flags of a recorded command that make it another agent, without those that a job itself gives."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            groups.append([flag.replace("_", "-"), *([value] if equals else [])])
        elif groups:
            groups[-1].append(word)
    return sorted(" ".join(g) for g in groups if g[0] not in OWN_FLAGS and not g[0].startswith("--wandb"))


@dataclass(frozen=True)
class Job:
    """A run that is to exist."""

    agent: AgentSpec
    # World, by short name or id.
    env: str
    seed: int
    # Wall-clock minutes that it may take (None: as long as its steps take).
    minutes: float | None
    runs_dir: Path
    wandb: WandbConfig

    @property
    def env_id(self) -> str:
        """Full Gymnasium id."""
        return names.resolve(self.env)

    def command(self) -> list[str]:
        """The command line that makes it."""
        agent, wandb = self.agent, self.wandb
        words = [sys.executable, "-m", agent.module, *agent.choice, "--env", self.env, "--seed", str(self.seed)]
        if self.minutes is not None:
            words += ["--total-minutes", f"{self.minutes:g}"]
        words += ["--runs-dir", str(self.runs_dir), "--wandb.mode", wandb.mode, "--wandb.project", wandb.project]
        if wandb.entity:
            words += ["--wandb.entity", wandb.entity]
        return words + agent.flags

    def finished(self) -> Path | None:
        """The newest finished run of this agent, world, seed, minutes and flags, or None."""
        return next(iter(self._found("finished")), None)

    def unfinished(self) -> Path | None:
        """The newest such run that can be continued exactly, or None."""
        if self.agent.module == "agents.sb3":
            return None
        stopped = self._found("interrupted", "no result")
        return next((folder for folder in stopped if any((folder / "checkpoints").glob("latest*"))), None)

    def resume_command(self, folder: Path) -> list[str]:
        """The command line that continues it."""
        return [sys.executable, "-m", self.agent.module, "--resume", str(folder)]

    def _found(self, *statuses: str) -> list[Path]:
        wanted = (self.agent.exp_name, self.env_id, self.seed, self.minutes, foreign_flags(self.agent.flags))
        found = []
        for folder in self.runs_dir.glob(f"{self.agent.exp_name}__*__{self.seed}__*/"):
            run = RunFolder(folder)
            try:
                recorded = run.read_config()
                status = run.read_result().get("status") if run.result_file.exists() else "no result"
            except CheckpointError:  # something else lies there
                continue
            minutes = recorded.get("config", {}).get("run", {}).get("total_minutes")
            has = (recorded.get("exp_name"), recorded.get("env_id"), recorded.get("seed"), minutes)
            flags = foreign_flags([str(word) for word in recorded.get("command", [])])
            if (*has, flags) == wanted and status in statuses:
                found.append((str(recorded.get("started")), folder))
        return [folder for _, folder in sorted(found, reverse=True)]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its finished run, or None and the exit code of the command that should have made it."""

    job: Job
    folder: Path | None
    code: int = 0

    def checked(self) -> Path:
        """The finished run. Raises: RunFailedError."""
        if self.folder is not None:
            return self.folder
        what = f"ended with exit code {self.code}" if self.code else "left no finished run of these limits"
        raise RunFailedError(
            f"{self.job.agent.exp_name} on {self.job.env} with seed {self.job.seed} {what}; see its output."
            " The same command goes on from here."
        )


def make_all(
    jobs: Sequence[Job], runs_dir: Path, *, at_once: int = 1, resume: bool = False, logs: Path | None = None
) -> Iterator[Outcome]:
    """Make the runs that are missing, in this order, and give each outcome as it comes.

    After Ctrl-C or SIGTERM nothing new is started; what runs is told, saves and is waited for.

    Args:
        jobs: the runs that are to exist.
        runs_dir: their folder.
        at_once: runs at a time.
        resume: continue those that were stopped, and lock the folder; nobody may start runs there by hand.
        logs: folder that gets what each run prints, in a file of its own (None: it is printed here).

    Raises:
        FolderBusyError: another command makes and continues runs there.
    """
    waiting = deque(enumerate(jobs, 1))
    running: dict[subprocess.Popen[bytes], tuple[int, Job, Path | None]] = {}
    broken: set[Path] = set()  # could not be continued
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for child in running:
            child.send_signal(number)

    with _locked(runs_dir) if resume else nullcontext() as lock, _on_sigterm(stop):
        try:
            while running or (waiting and not asked):
                while waiting and len(running) < at_once and not asked:
                    number, job = waiting.popleft()
                    head = f"[{number} of {len(jobs)}]"
                    if done := job.finished():
                        print(f"{head} already finished: {done}", flush=True)
                        yield Outcome(job, done)
                        continue
                    begun = job.unfinished() if resume else None
                    begun = None if begun in broken else begun
                    words = job.resume_command(begun) if begun else job.command()
                    print(f"{head} {shlex.join(words)}", flush=True)
                    running[_start(words, job, lock, logs)] = (number, job, begun)
                for child in [child for child in running if child.poll() is not None]:
                    number, job, begun = running.pop(child)
                    code = child.returncode
                    asked |= code == EXIT_INTERRUPTED
                    if begun and code and not asked:
                        print(f"[{number} of {len(jobs)}] {begun} cannot be continued; it begins anew", flush=True)
                        broken.add(begun)
                        waiting.appendleft((number, job))
                    else:
                        yield Outcome(job, job.finished(), code)
                time.sleep(SECONDS_BETWEEN_LOOKS if running else 0.0)
        except KeyboardInterrupt:  # the terminal sent it to the runs as well
            raise
        except BaseException:
            stop(signal.SIGTERM, None)
            raise
        finally:
            for child in running:
                child.wait()


def _start(words: Sequence[str], job: Job, lock: IO[str] | None, logs: Path | None) -> subprocess.Popen[bytes]:
    """Start a command, which holds the lock as long as it lives."""
    held = () if lock is None else (lock.fileno(),)
    if logs is None:
        return subprocess.Popen(words, pass_fds=held)
    logs.mkdir(parents=True, exist_ok=True)
    with log_file(job, logs).open("ab") as file:
        return subprocess.Popen(words, pass_fds=held, stdout=file, stderr=subprocess.STDOUT)


def log_file(job: Job, logs: Path) -> Path:
    """Where a run's output goes."""
    return logs / f"{job.agent.exp_name}__{names.short_name(job.env_id).replace('/', '-')}__{job.seed}.log"


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    """Hold a folder's lock file open and locked; processes that inherit it hold it too.

    Raises: FolderBusyError, SaveError.
    """
    with save_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderBusyError(
                f"runs are being made in {folder} by another command, or by one that outlived it:"
                " wait for it or end it, or choose another --runs-dir"
            ) from None
        yield file


@contextmanager
def _on_sigterm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_child(words: Sequence[str]) -> int:
    """Run a command with our terminal as its own; SIGTERM and Ctrl-C reach it, and we wait for it to save."""
    child = subprocess.Popen(words)
    with _on_sigterm(lambda number, frame: child.send_signal(number)):
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal sent it to the child as well
            child.wait()
            raise

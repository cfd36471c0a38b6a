"""Resuming a run: its own settings, its last checkpoint, and the limits that may be changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agents.training.config import AgentConfig
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.flags import peek_flag
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from agents.training.metadata import RunSpec

LIMITS = ("--total-env-steps", "--total-minutes")
ConfigT = TypeVar("ConfigT", bound=AgentConfig)


def module_of(algo: str) -> str:
    """Return the command behind an algorithm's name: `sb3_dqn` -> `sb3`."""
    return algo.partition("_")[0] if algo.startswith("sb3_") else algo


def resume_command(algo: str, run: RunFolder, *flags: str) -> str:
    """Return the shell command that continues a run, with further flags."""
    return shell(python(), "-m", f"agents.{module_of(algo)}", "--resume", run.path, *flags)


def resumed_config(config_class: type[ConfigT], agent: str, path: Path, argv: list[str]) -> ConfigT:
    """Return the settings of the run in a folder, with the limits that the command line gives.

    Raises: CheckpointError for a run of another command; ConfigError for a flag that a resumed run cannot change.
    """
    described = RunFolder.open(path).read_config()
    command, own = (module_of(name) for name in (str(described.get("exp_name")), agent))
    if command != own:
        raise CheckpointError(f"{path} is a run of agents.{command}, not of agents.{own}")
    saved = from_dict(config_class, described["config"], str(path))
    _refuse_other_flags(argv)
    steps, minutes = _look(argv, "total-env-steps"), _look(argv, "total-minutes")
    run = replace(saved.run, resume=path)
    try:
        if minutes is not None:
            run = replace(run, total_minutes=float(minutes))
        total = saved.total_env_steps if steps is None else int(steps)
    except ValueError as error:
        raise ConfigError(f"--total-env-steps and --total-minutes take numbers: {error}") from error
    return replace(saved, run=run, total_env_steps=total)


def _refuse_other_flags(argv: list[str]) -> None:
    known = sorted({"--resume", *LIMITS})
    rest = iter(argv)
    for word in rest:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise ConfigError(f"{flag} cannot be changed in a resumed run; {', '.join(known)} can")
        if not flag.startswith("--"):
            raise ConfigError(f"unexpected argument '{word}' in a resumed run; {', '.join(known)} can be changed")
        if "=" not in word:
            next(rest, None)  # its value


def _look(argv: list[str], flag: str) -> str | None:
    return peek_flag(argv, flag) or peek_flag(argv, flag.replace("-", "_"))


def load_checkpoint(run: RunFolder, spec: RunSpec) -> dict[str, Any]:
    """Return the last checkpoint of a run, if it is of this algorithm and task.

    Raises: CheckpointError, also for a damaged one; nothing on disk is changed.
    """
    from rl_gen_lab.runs.checkpoints import load_state  # here, so that reading flags needs no torch

    written_by = run.read_config().get("exp_name")
    if written_by != spec.algo:
        raise CheckpointError(f"{run.path} is a run of {written_by!r}, not of {spec.algo!r}")
    state = load_state(run.checkpoints / "latest")
    saved, task = state["fingerprint"], spec.task
    if saved["hash"] != task.hash:
        differences = [
            f"{key}: {saved['fields'].get(key)} there, {task.fields.get(key)} here"
            for key in sorted(saved["fields"] | task.fields)
            if saved["fields"].get(key) != task.fields.get(key)
        ]
        raise CheckpointError(f"{run.path} was trained on another task ({'; '.join(differences)})")
    return state


def keep_limits(run: RunFolder, config: AgentConfig) -> None:
    """Write the limits of a resumed run into its config.json, so that the next resume needs no flags."""
    described = run.read_config()
    saved = described["config"]
    limits = saved["run"] | {"total_minutes": config.run.total_minutes}
    kept = saved | {"total_env_steps": config.total_env_steps, "run": limits}
    if saved != kept:
        run.write_config(described | {"config": kept})


def changed_limits(run: RunFolder, config: AgentConfig) -> list[str]:
    """Return the flags of the limits that config.json does not have yet."""
    saved, minutes = run.read_config()["config"], config.run.total_minutes
    flags = []
    if config.total_env_steps != saved["total_env_steps"]:
        flags += [LIMITS[0], str(config.total_env_steps)]
    if minutes is not None and minutes != saved["run"]["total_minutes"]:
        flags += [LIMITS[1], f"{minutes:g}"]
    return flags

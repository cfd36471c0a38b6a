"""Resuming a run: its own settings, its last checkpoint, and the limits that may be changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agents.training.config import AgentConfig
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.flags import parse_flags, refuse_other_flags
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.ending import finished_result, say_nothing_left
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import Needed, NotNegative, misfit

if TYPE_CHECKING:
    from agents.training.metadata import RunSpec

# What is read before the rest: misfit says what is wrong, also where it is missing.
CHECKPOINT = Needed(
    {"session": Needed({"wall_seconds": NotNegative}), "fingerprint": Needed({"hash": str, "fields": {}})}
)
LIMITS = ("--total-env-steps", "--total-minutes")
ConfigT = TypeVar("ConfigT", bound=AgentConfig)


def module_of(algo: str) -> str:
    """Return the command behind an algorithm's name: `sb3_dqn` -> `sb3`."""
    return algo.partition("_")[0] if algo.startswith("sb3_") else algo


def command_to_resume(run: RunFolder, spec: RunSpec, *, limits_changed: bool) -> str:
    """Return the shell command that continues a run, with limits that are not in its config.json yet."""
    flags = changed_limits(run, spec.config) if limits_changed else []
    return shell(
        *(Ranks.of().started_by() or (python(),)), "-m", f"agents.{module_of(spec.algo)}", "--resume", str(run), *flags
    )


def resumed_config(config_class: type[ConfigT], agent: str, path: Path, argv: list[str]) -> ConfigT:
    """Return the settings of the run in a folder, with the limits that the command line gives.

    Raises: CheckpointError for a run of another command; ConfigError for a flag that a resumed run cannot change.
    """
    folder = RunFolder.open(path)
    described = folder.read_config("config", "exp_name")
    command, own = (module_of(name) for name in (described["exp_name"], agent))
    if command != own:
        raise CheckpointError(f"{folder} is a run of {folder.made_by()}, not of python -m agents.{own}")
    saved = from_saved(config_class, described["config"], str(folder.config_file))
    refuse_other_flags(argv, ("--resume", *LIMITS))
    return parse_flags(config_class, argv, default=replace(saved, run=replace(saved.run, resume=path)))


def nothing_left(config: AgentConfig) -> bool:
    """Return whether the run to resume has ended within these limits; say so then, and change nothing."""
    if config.run.resume is None:
        return False
    run = RunFolder.open(config.run.resume)
    result, minutes, way_on = finished_result(run), config.run.total_minutes, "its result is in result.json"
    if result is None:
        return False
    if result.get("solved"):
        target, steps = "its stop_at_return", result["solved"].get("env_steps", 0)
        if config.run.stop_at_return is not None:
            target = f"stop_at_return {config.run.stop_at_return:g}"
        reason = f"{target} was reached at step {steps:,}"
    elif (result.get("total_env_steps") or 0) >= config.total_env_steps:
        reason, way_on = f"all {config.total_env_steps:,} steps are taken", f"{LIMITS[0]} with a larger number goes on"
    elif minutes is not None and (result.get("wall_seconds") or 0.0) >= 60 * minutes:
        reason, way_on = f"all {minutes:g} minutes are spent", f"{LIMITS[1]} with a larger number goes on"
    else:
        return False
    say_nothing_left(run, reason, way_on)
    return True


def load_checkpoint(run: RunFolder, spec: RunSpec) -> dict[str, Any]:
    """Return the last checkpoint of a run, if it is of this algorithm and task.

    Raises: CheckpointError, also for a damaged one; nothing on disk is changed.
    """
    from rl_gen_lab.runs.checkpoints import load_state  # here, so that reading flags needs no torch

    written_by = run.read_config().get("exp_name")
    if written_by != spec.algo:
        raise CheckpointError(f"{run} is a run of {written_by!r}, not of {spec.algo!r}")
    state = load_state(run.checkpoints / "latest")
    if wrong := misfit(state, CHECKPOINT):
        raise CheckpointError(f"{run.shown(run.checkpoints / 'latest')} is damaged: {wrong}")
    saved, task = state["fingerprint"], spec.task
    if saved["hash"] != task.hash:
        there = saved["fields"]
        differences = [
            f"{key}: {there.get(key)} there, {task.fields.get(key)} here"
            for key in sorted(map(str, there | task.fields))
            if there.get(key) != task.fields.get(key)
        ]
        raise CheckpointError(f"{run} was trained on another task ({'; '.join(differences)})")
    return state


def keep_limits(run: RunFolder, config: AgentConfig) -> None:
    """Write the limits of a resumed run into its config.json, so that the next resume needs no flags."""
    described = run.read_config("config")
    saved = described["config"]
    limits = saved.get("run", {}) | {"total_minutes": config.run.total_minutes}
    kept = saved | {"total_env_steps": config.total_env_steps, "run": limits}
    if saved != kept:
        run.write_config(described | {"config": kept})


def changed_limits(run: RunFolder, config: AgentConfig) -> list[str]:
    """Return the flags of the limits that config.json does not have yet."""
    saved, minutes = run.read_config("config")["config"], config.run.total_minutes
    flags = []
    if config.total_env_steps != saved.get("total_env_steps"):
        flags += [LIMITS[0], str(config.total_env_steps)]
    if minutes is not None and minutes != saved.get("run", {}).get("total_minutes"):
        flags += [LIMITS[1], f"{minutes:g}"]
    return flags

"""From a command line to a Config: presets and flags, or the settings of a run to resume."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from agents.training.config import AgentConfig
from agents.training.resume import resumed_config
from envs.config import UnknownEnvError
from envs.observers import CODE_KINDS
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags, peek_flag
from rl_gen_lab.cli.presets import load
from rl_gen_lab.cli.shell import typed_path
from rl_gen_lab.distributed.ranks import Ranks, after_restart

# Settings of `world` that only an emulator has.
OF_ATARI = (
    "sticky",
    "frame_skip",
    "max_pool",
    "noop_max",
    "full_action_space",
    "fire_reset",
    "episodic_life",
    "episodic_points",
)
OF_PICTURES = ("image_size", "grayscale", "frame_stack")  # settings of `world` that a vector has no use for
PRESETS = Path(__file__).resolve().parents[2] / "configs"
ConfigT = TypeVar("ConfigT")
AgentConfigT = TypeVar("AgentConfigT", bound=AgentConfig)
P = ParamSpec("P")
R = TypeVar("R")


def command(main: Callable[P, R]) -> Callable[P, R]:
    """Wrap the `main` of a command: an error that a user can mend becomes one line and exit code 2."""
    # `envs` cannot import our error classes; its UnknownEnvError is a user's error all the same.
    return exit_on_error(main, UnknownEnvError)


def cli(config_class: type[ConfigT], argv: list[str] | None) -> ConfigT:
    """Read flags and positional arguments of a command without presets; make the folder that its results go into.

    Raises: ConfigError, SaveError: before the work, which can take hours, and not after it.
    """
    config = parse_flags(config_class, argv, description=config_class.__doc__)
    folder = getattr(config, "results_dir", None)
    if isinstance(folder, Path):
        from rl_gen_lab.runs.files import save_errors  # here, so that --help needs no safetensors

        with save_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return config


def parse(config_class: type[AgentConfigT], agent: str, argv: list[str] | None) -> AgentConfigT:
    """Return the Config that a command line asks for; print the preset that it starts from.

    `--resume RUN` takes the run's own settings; only its limits (`--total-env-steps`, `--total-minutes`) may be
    changed. Raises: ConfigError, UnknownEnvError, CheckpointError.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and not argv[0].startswith("-"):  # no agent has positional arguments
        raise ConfigError(f"{argv[0]!r} stands without a flag: did you mean --env {argv[0]}?")
    if {"-h", "--help"} & set(argv) and peek_flag(argv, "env") is None:
        return load(config_class, argv, agent=agent, presets_dir=PRESETS)
    argv = after_restart(argv, Ranks.of(), Path(peek_flag(argv, "runs-dir") or "runs"))
    resume = peek_flag(argv, "resume")
    if resume is not None:
        return resumed_config(config_class, agent, typed_path(resume), argv)
    from agents.training.schemes import register_schemes  # here, so that --help needs no emulator
    from envs import names

    register_schemes()
    env_id = names.resolve(peek_flag(argv, "env") or config_class.env)
    candidates = [names.short_name(env_id).lower()]
    observe = peek_flag(argv, "observe") or peek_flag(argv, "world.observe")
    if names.is_atari(env_id):
        candidates.append("atari")
    else:
        _refuse_flags_without_use(env_id, argv, observe in (None, "pixels"))
    if observe is not None and observe.partition(":")[0] in CODE_KINDS:
        candidates = []
    elif observe not in (None, "pixels"):  # other numbers, other networks
        candidates = [f"{candidates[0]}_objects"]
    return load(config_class, argv, agent=agent, presets_dir=PRESETS, preset_candidates=candidates)


def _refuse_flags_without_use(env_id: str, argv: list[str], pixels: bool) -> None:
    """Refuse settings that an environment other than Atari's has no use for. pixels: it is seen as it shows itself."""
    for word in argv:
        flag = word.partition("=")[0]
        table, _, setting = flag.replace("-", "_").removeprefix("__").partition(".")
        setting = setting.removeprefix("no_")
        if table == "world" and setting in OF_ATARI:
            raise ConfigError(f"{flag} is for Atari games; {env_id} is none")
        if table == "world" and setting in OF_PICTURES and pixels and (numbers := _numbers_shown(env_id)):
            raise ConfigError(f"{flag} is for pictures; {env_id} shows a vector of {numbers} numbers")


def _numbers_shown(env_id: str) -> int:
    """Return the length of the vector that an environment shows; 0 for pictures. Raises: UnusableEnvError."""
    from envs.copies import close_quietly
    from envs.factory import make_env

    env = make_env(env_id)
    shape = env.observation_space.shape or ()
    close_quietly(env)
    return shape[0] if len(shape) == 1 else 0

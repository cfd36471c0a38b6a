"""Settings of a command: defaults of a frozen dataclass < TOML preset < flags.

A preset is a file `<presets>/<agent>_<name>.toml` with only what differs from the defaults; a nested dataclass is a
TOML table. An unknown key or a wrong type is an error that names file, key and the nearest right name.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.flags import parse_flags, take_flag
from rl_gen_lab.cli.regular_file import read_toml, reason_of
from rl_gen_lab.cli.shell import short
from rl_gen_lab.cli.values import from_dict

DEFAULTS = "defaults"  # name of the preset that changes nothing

Config = TypeVar("Config")


def load(
    config_class: type[Config],
    argv: Sequence[str] | None,
    *,
    agent: str,
    presets_dir: Path,
    preset_candidates: Sequence[str] = (),
) -> Config:
    """Read the settings of a command and print the preset that they start from.

    Args:
        config_class: frozen dataclass; every field has a default.
        argv: the flags; None: those of this process. `--preset NAME` chooses a preset, "defaults" none.
        agent: first part of the names of its presets.
        presets_dir: folder of the presets.
        preset_candidates: presets to look for without `--preset`, best first.

    Raises ConfigError for a preset that is missing or wrong.
    Exits with code 2 for a wrong flag, 0 after --help.
    """
    flags, chosen = take_flag(list(sys.argv[1:] if argv is None else argv), "preset")
    presets = sorted(file.stem.removeprefix(f"{agent}_") for file in presets_dir.glob(f"{agent}_*.toml"))
    if chosen is None:
        chosen = next((name for name in preset_candidates if name in presets), DEFAULTS)
    config = config_class()
    if chosen in presets:
        file = presets_dir / f"{agent}_{chosen}.toml"
        print(f"preset: {short(file)}", flush=True)
        config = from_dict(config_class, _read_toml(file), short(file))
    elif chosen == DEFAULTS:
        print(f"preset: {DEFAULTS}", flush=True)
    else:
        choices = [*presets, DEFAULTS]
        raise ConfigError(f"unknown preset '{chosen}', known: {', '.join(choices)}.{suggest(chosen, choices)}")
    description = f"{config_class.__doc__}\n\n--preset NAME starts from one of: {', '.join([*presets, DEFAULTS])}."
    return parse_flags(config_class, flags, default=config, description=description)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return read_toml(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read preset {short(file)}: {reason_of(error)}") from error

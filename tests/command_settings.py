"""Every command with its class of settings, and every number in them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from annotated_types import Interval

ROOT = Path(__file__).resolve().parent.parent
# Words without which a command cannot begin.
NEEDED = {
    "agents.attack": ["runs/RUN"],
    "agents.compare": ["--env", "CartPole", "--agents", "dqn"],
    "agents.observation": ["runs/RUN"],
    "agents.play": ["runs/RUN"],
    "agents.sweep": ["sweep.toml"],
    "docs.examples.counting": ["--data", "folder"],
    "agents.compress": ["runs/RUN"],
    "agents.dream": ["runs/RUN"],
    "agents.explain": ["runs/RUN"],
    "agents.latency": ["file.rlz"],
    "agents.outside": ["runs/RUN"],
    "rl_gen_lab.attack": ["runs/RUN", "--to", "ball"],
    "rl_gen_lab.audit": ["runs/RUN"],
    "rl_gen_lab.caption": ["runs/RUN"],
    "rl_gen_lab.compress": ["runs/RUN", "--recipe", "recipe.toml"],
    "rl_gen_lab.dashboard": ["--entity", "somebody"],
    "rl_gen_lab.explain.__main__": ["runs/RUN"],
    "rl_gen_lab.look": ["runs/RUN"],
    "rl_gen_lab.pack": ["--explain", "file.rlz"],
    "rl_gen_lab.probe": ["runs/RUN"],
    "agents.restyle": ["runs/RUN", "coffee"],
    "agents.visualize": ["runs/RUN"],
    "rl_gen_lab.visualize": ["runs/RUN"],
    "rl_gen_lab.style": ["chelsea", "coffee"],
    "rl_gen_lab.texture": ["grass"],
    "rl_gen_lab.sample": ["runs/RUN"],
    "rl_gen_lab.codec": ["encode", "runs/RUN"],
}


@dataclass(frozen=True)
class Setting:
    """A field of the settings of a command: its dotted flag, its class and its annotated type."""

    command: str
    flag: str
    owner: type
    field: str
    hint: Any

    @property
    def is_number(self) -> bool:
        return bool({int, float} & set(parts_of(self.hint)))

    @property
    def range(self) -> Any:
        (interval,) = (part for part in parts_of(self.hint) if isinstance(part, Interval))
        return interval

    def allows(self, value: float) -> bool:
        r = self.range
        low = value > r.gt if r.ge is None else value >= r.ge
        return bool(low and (value < r.lt if r.le is None else value <= r.le))


def sources(*rooms: str) -> list[Path]:
    return sorted(file for room in rooms for file in (ROOT / room).rglob("*.py"))


def commands() -> dict[str, type]:
    """The modules that are started with `python -m`, and the class of settings that each of them names."""
    found = {}
    for file in sources("agents", "envs", "rl_gen_lab", "docs/examples"):
        if '__name__ == "__main__"' in file.read_text(encoding="utf-8"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            loaded = importlib.import_module(module)
            found[module] = getattr(loaded, "Config", None) or loaded.Options
    return found


def settings(command: str, config_class: Any, prefix: str = "") -> Iterator[Setting]:
    """Every field that is a flag, nested ones too; tyro leaves out the prefix of a class with an empty name."""
    for name, hint in get_type_hints(config_class, include_extras=True).items():
        base, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        shown = next((note.name for note in notes if getattr(note, "name", None) is not None), name)
        dotted = ".".join(part for part in (prefix, shown) if part)
        if dataclasses.is_dataclass(base):
            yield from settings(command, base, dotted)
        else:
            yield Setting(command, dotted, config_class, name, hint)


def parts_of(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from parts_of(part)


def config_classes_in_source() -> set[str]:
    """Names of all dataclasses called Config, Settings or Options, wherever they stand."""
    names = set()
    for file in sources("agents", "envs", "rl_gen_lab"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef) or not node.name.endswith(("Config", "Settings", "Options")):
                continue
            if any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list):
                names.add(f"{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}.{node.name}")
    return names

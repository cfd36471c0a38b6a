"""A search space: the settings of a command that a sweep chooses, by the names that they have in presets.

    learning_rate = { low = 1e-4, high = 1e-2, log = true }        a number between two ends, evenly in its logarithm
    rollout_steps = { low = 16, high = 128, step = 16 }            a whole number, as the setting is one
    "policy.backbone" = { choices = ["mlp_tanh", "mlp_small"] }    one of several values; "none" stands for None

A name that is no setting, a value of a wrong type and one out of a setting's range are refused before anything runs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.values import convert

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

LARGEST_GRID = 10_000  # trials
# What a sweep itself decides, or what makes no other agent.
NOT_SEARCHED = ("seed", "resume", "runs_dir", "run.resume", "run.runs_dir", "run.film")
KEYS = ("low", "high", "step", "log", "choices")
Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Setting:
    """A setting of a command: its dotted name in presets, its flag, its annotated type."""

    name: str
    flag: str
    hint: Any


def settings_of(config_class: Any, name: str = "", flag: str = "") -> Iterator[Setting]:
    """Yield every setting of a class of settings; tyro leaves a class with an empty name out of the flag."""
    for field, hint in get_type_hints(config_class, include_extras=True).items():
        base, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        shown = next((note.name for note in notes if getattr(note, "name", None) is not None), field)
        names, flags = ".".join(filter(None, (name, field))), ".".join(filter(None, (flag, shown)))
        if dataclasses.is_dataclass(base):
            yield from settings_of(base, names, flags)
        else:
            yield Setting(names, f"--{flags.replace('_', '-')}", hint)


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched: between `low` and `high`, or one of `choices` (then these are None)."""

    setting: Setting
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The dotted name of the setting."""
        return self.setting.name

    @property
    def whole(self) -> bool:
        """Whether the setting is a whole number."""
        return int in _kinds(self.setting.hint) and float not in _kinds(self.setting.hint)

    def distribution(self) -> BaseDistribution:
        """Return it as Optuna has it; choices that are lists are text there."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.low is None or self.high is None:
            return CategoricalDistribution([self.stored(choice) for choice in self.choices])
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def stored(self, value: Any) -> Scalar:
        """Return a value as a study keeps it."""
        return json.dumps(value) if isinstance(value, list | tuple) else value

    def value(self, stored: Scalar) -> Any:
        """Return the value of the setting, as TOML has it, from what a study keeps; numbers are of four digits."""
        if isinstance(stored, float) and self.low is not None and self.high is not None:
            return min(max(float(f"{stored:.4g}"), self.low), self.high)
        return next((choice for choice in self.choices if self.stored(choice) == stored), stored)

    def contains(self, value: Any) -> bool:
        """Return whether the search can find a value."""
        distribution = self.distribution()
        try:
            return bool(distribution._contains(distribution.to_internal_repr(self.stored(value))))
        except (ValueError, TypeError, OverflowError):
            return False

    def grid(self) -> list[Scalar]:
        """Return every value. Raises: ConfigError where there are infinitely many."""
        if self.low is None or self.high is None:
            return [self.stored(choice) for choice in self.choices]
        if self.step is None and not (self.whole and not self.log):
            raise ConfigError(f"a grid needs choices, or a step, for {self.name}")
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if count > LARGEST_GRID:
            raise ConfigError(f"the grid of {self.name} alone has {count:,} values; give it a larger step")
        numbers = [self.low + index * step for index in range(count)]
        return [int(number) if self.whole else number for number in numbers]

    def words(self, value: Any) -> list[str]:
        """Return the flag that gives the setting a value."""
        values = value if isinstance(value, list | tuple) else [value]
        return [self.setting.flag, *(repr(item) if isinstance(item, float) else str(item) for item in values)]


@dataclass(frozen=True)
class SearchSpace:
    """The settings that are searched."""

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let the sampler choose, and return the values by the names of the settings."""
        chosen = {}
        for d in self.dimensions:
            distribution = d.distribution()
            if d.low is None:
                stored: Any = trial.suggest_categorical(d.name, distribution.choices)  # type: ignore[attr-defined]
            elif d.whole:
                stored = trial.suggest_int(d.name, int(d.low), int(d.high or 0), step=int(d.step or 1), log=d.log)
            else:
                stored = trial.suggest_float(d.name, d.low, d.high or 0.0, step=d.step, log=d.log)
            chosen[d.name] = d.value(stored)
        return chosen

    def grid(self) -> list[dict[str, Scalar]]:
        """Return every combination. Raises: ConfigError where there are too many."""
        values = [d.grid() for d in self.dimensions]
        if (count := math.prod(map(len, values))) > LARGEST_GRID:
            raise ConfigError(f"the grid has {count:,} combinations, at most {LARGEST_GRID:,} can be tried")
        names = [d.name for d in self.dimensions]
        return [dict(zip(names, combination, strict=True)) for combination in itertools.product(*values)]

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """Return the flags that give the settings these values."""
        return [word for d in self.dimensions for word in d.words(values[d.name])]

    def known(self, flat: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return, of flat settings, those that are searched and that the search can find, as a study keeps them."""
        return {d.name: d.stored(flat[d.name]) for d in self.dimensions if d.contains(flat[d.name])}

    def holds(self, stored: Any) -> bool:
        """Return whether these are settings, some or all, as a study keeps them."""
        known = {d.name: d for d in self.dimensions}
        return isinstance(stored, dict) and all(name in known and known[name].contains(stored[name]) for name in stored)

    def point(self, values: Mapping[str, Any], source: str) -> dict[str, Scalar]:
        """Return settings to try, some or all, as a study keeps them. Raises: ConfigError, naming the setting."""
        known = {d.name: d for d in self.dimensions}
        point = {}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(f"{source}: '{name}' is not searched.{suggest(name, known)}")
            value = None if value == "none" else value
            if not known[name].contains(value):
                raise ConfigError(f"{source}: the search cannot find '{name}' = {value!r}")
            point[name] = known[name].stored(value)
        return point

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values, by which two spaces are told apart."""
        fields = ("low", "high", "step", "log", "choices")
        return {d.name: {field: getattr(d, field) for field in fields} for d in self.dimensions}


def read_space(table: Mapping[str, Any], config_class: type, source: str) -> SearchSpace:
    """Read the table `search` of a sweep; settings of a nested class may stand in a table of their own.

    Raises: ConfigError, naming source, setting and the nearest right name.
    """
    known = {setting.name: setting for setting in settings_of(config_class)}
    found = []
    for name, entry in _entries(table):
        if name not in known:
            same_end = [other for other in known if other.rpartition(".")[2] == name]
            nearest = f" Did you mean '{same_end[0]}'?" if same_end else suggest(name, known)
            raise ConfigError(f"{source}: search: no setting '{name}'.{nearest}")
        if name in NOT_SEARCHED or name.startswith("wandb."):
            raise ConfigError(f"{source}: search: '{name}' cannot be searched: it makes no other agent")
        found.append(_dimension(known[name], entry, f"{source}: search"))
    if not found:
        raise ConfigError(f"{source}: the table 'search' names no setting")
    return SearchSpace(tuple(found))


def _entries(table: Mapping[str, Any], path: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    for key, entry in table.items():
        if (
            isinstance(entry, dict)
            and not set(KEYS) & entry.keys()
            and any(isinstance(v, dict) for v in entry.values())
        ):
            yield from _entries(entry, (*path, key))
        else:
            yield ".".join((*path, key)), entry


def _dimension(setting: Setting, entry: Any, source: str) -> Dimension:
    """Read an entry of the table. Raises: ConfigError."""
    name = setting.name
    how = "{ low = ..., high = ... } with step or log = true, or { choices = [...] }"
    if not isinstance(entry, dict):
        raise ConfigError(f"{source}: '{name}' must be {how}")
    if unknown := [key for key in entry if key not in KEYS]:
        raise ConfigError(f"{source}: '{name}' has no '{unknown[0]}'.{suggest(unknown[0], KEYS)} It is {how}")
    choices = entry.get("choices")
    if not ({"low", "high"} <= entry.keys() if choices is None else len(entry) == 1):
        raise ConfigError(f"{source}: '{name}' must be {how}")
    if choices is not None:
        if not isinstance(choices, list) or not choices:
            raise ConfigError(f"{source}: '{name}' needs a list of choices")
        values = tuple(None if choice == "none" else choice for choice in choices)
        for value in values:
            convert(value, setting.hint, source, name)
        return Dimension(setting, choices=values)
    if not {int, float} & set(_kinds(setting.hint)):
        raise ConfigError(f"{source}: '{name}' is no number; give it choices = [...]")
    ends = {key: entry[key] for key in ("low", "high", "step") if key in entry}
    for key, value in ends.items():
        if key == "step" and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf
        ):
            raise ConfigError(f"{source}: the step of '{name}' must be a number above 0, not {value!r}")
        if key != "step":
            convert(value, setting.hint, source, name)
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{source}: log of '{name}' must be true or false")
    made = Dimension(setting, log=log, **ends)
    if not made.low < made.high:  # type: ignore[operator]
        raise ConfigError(f"{source}: low of '{name}' must be below high, not {made.low} and {made.high}")
    if log and ("step" in entry or made.low <= 0):  # type: ignore[operator]
        raise ConfigError(f"{source}: '{name}' with log = true needs low above 0 and takes no step")
    if made.whole and any(value != int(value) for value in ends.values()):
        raise ConfigError(f"{source}: '{name}' is a whole number: so must be its low, high and step")
    return made


def _kinds(hint: Any) -> list[Any]:
    """Return the types that a type is made of."""
    return [hint, *(kind for part in get_args(hint) for kind in _kinds(part))]

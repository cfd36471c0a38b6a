"""A sweep as its TOML file describes it: the command that is tuned, the search space, how trials are scored and pruned.

    command = "python -m agents.dqn --env Acrobot --eval.final-episodes 100 --no-film"
    trials = 30
    seeds = [101, 102]

    [search]
    learning_rate = { low = 1e-4, high = 1e-2, log = true }

The command is one that a user could type, without `--seed`, `--runs-dir` and `--resume`: its settings are read by its
own code, before the sweep for all trials and before each trial for the trial.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from agents.experiments.jobs import OUR_AGENTS
from agents.experiments.search_space import Scalar, SearchSpace, read_space
from agents.training.cli import parse
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.flags import peek_flag
from rl_gen_lab.cli.regular_file import read_toml, reason_of
from rl_gen_lab.cli.settings import Few, OptionalSteps, Ranged, Seed
from rl_gen_lab.cli.shell import short
from rl_gen_lab.cli.values import from_dict, to_flat_dict

VISION = "rl_gen_lab.train"
COMMANDS = (*(f"agents.{agent}" for agent in OUR_AGENTS), "agents.sb3", VISION)
# Flags that a trial itself gives to its runs.
TRIAL_FLAGS = ("--seed", "--runs-dir", "--resume", "--help", "-h")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
Percentage = Annotated[float, Interval(ge=0, le=100)]


@dataclass(frozen=True)
class Pruning(Ranged):
    """Ends the runs of a trial that is behind the others after as many steps."""

    # median: behind the median of the others; percentile: not among the best percent of them; halving: not among the
    # best of `reduction` (Li et al. 2020, "A system for massively parallel hyperparameter tuning"); none: never.
    kind: Literal["median", "percentile", "halving", "none"] = "median"
    # Finished trials before the first is pruned.
    startup_trials: Few = 5
    # Steps (vision models: epochs) before which no trial is pruned.
    warmup_steps: OptionalSteps = 0
    # Only of `percentile`: the share that goes on [percent].
    percent: Percentage = 50.0
    # Only of `halving`: one trial in so many goes on.
    reduction: Annotated[int, Interval(ge=2, le=100)] = 4


@dataclass(frozen=True)
class Plan(Ranged):
    """A sweep."""

    # The command that is tuned, with all its flags but those that are searched.
    command: str = ""
    # Settings to try; a grid has as many as it has combinations.
    trials: Few = 20
    # Seeds of the runs of a trial, which run side by side. Others than those of the final comparison: the best of many
    # trials is partly luck with its seeds.
    seeds: tuple[Seed, ...] = (101,)
    # tpe: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; cmaes: Hansen and Ostermeier 2001, for
    # numbers only, choices are drawn at random; random; grid: every combination.
    sampler: Literal["tpe", "cmaes", "random", "grid"] = "tpe"
    # Seed of the sampler.
    sampler_seed: Seed = 0
    # Trials at random before tpe and cmaes begin.
    startup_trials: Few = 10
    # The first trial is of the settings that the command has without the sweep.
    try_start: bool = True
    # What a run is scored by. final: the final evaluation of its best weights (vision models: their validation);
    # evaluations: the mean of all its evaluations, which is higher for those that learn faster.
    score: Literal["final", "evaluations"] = "final"
    # Score of a trial: this quantile of those of its seeds (None: their mean). Below 0.5 it prefers reliable settings.
    quantile: Annotated[float, Interval(ge=0, le=1)] | None = None
    pruner: Pruning = field(default_factory=Pruning)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("seeds must be one number or more, each once")

    @cached_property
    def words(self) -> list[str]:
        """The module of the command and its flags. Raises: ConfigError."""
        if not self.command:
            raise ConfigError('command is missing, such as command = "python -m agents.dqn --env Acrobot"')
        try:
            words = shlex.split(self.command)
        except ValueError as error:  # an open quotation
            raise ConfigError(f"cannot read the command {self.command!r}: {error}") from error
        if words[:2] == ["python", "-m"]:
            words = words[2:]
        if not words or words[0] not in COMMANDS:
            name = words[0] if words else ""
            raise ConfigError(f"cannot tune '{name}'.{suggest(name, COMMANDS)} Known: {', '.join(COMMANDS)}.")
        for word in words[1:]:
            if (flag := word.partition("=")[0].replace("_", "-")) in TRIAL_FLAGS:
                raise ConfigError(f"a trial gives its runs their own {flag}; leave it out of the command")
        return words

    @property
    def module(self) -> str:
        """The command, as in `python -m MODULE`."""
        return self.words[0]

    @property
    def is_vision(self) -> bool:
        """Whether the command trains a vision model."""
        return self.module == VISION

    @property
    def agent(self) -> str:
        """The first part of the names of the command's presets."""
        name = self.module.rpartition(".")[2]
        return f"sb3_{peek_flag(self.words, 'algo') or 'dqn'}" if name == "sb3" else name


@dataclass(frozen=True)
class Sweep:
    """A plan with its search space and the settings that its command has without the sweep."""

    file: Path
    plan: Plan
    space: SearchSpace
    start: Any
    # Settings that the first trials have, as a study keeps them; what they leave out is the sampler's.
    first: tuple[dict[str, Scalar], ...] = ()

    @property
    def budget(self) -> int:
        """Steps of a run (vision models: epochs), at which it is compared for the last time."""
        return int(self.start.epochs if self.plan.is_vision else self.start.total_env_steps)

    @property
    def compared_at(self) -> list[int]:
        """The steps (vision models: epochs) after which trials are compared: those of the command's evaluations."""
        every = 1 if self.plan.is_vision else int(self.start.eval.every_env_steps or self.budget)
        return [*range(every, self.budget, every), self.budget]

    def settings(self, values: Mapping[str, Any]) -> Any:
        """Return the settings of a trial, read as its runs will read them. Raises: ConfigError, UnknownEnvError."""
        return read_settings(self.plan, self.space.words(values))

    def describe(self) -> dict[str, Any]:
        """Return what makes two sweeps comparable, as JSON values: trials of one study agree in it."""
        plan = self.plan
        judged = {"score": plan.score, "quantile": plan.quantile, "seeds": list(plan.seeds)}
        return {"command": plan.words, "search": self.space.describe(), **judged}


def read_settings(plan: Plan, words: Sequence[str] = ()) -> Any:
    """Return the settings of the plan's command with more flags. Raises: ConfigError, UnknownEnvError."""
    module, argv = importlib.import_module(plan.module), [*plan.words[1:], *words]
    with contextlib.redirect_stdout(io.StringIO()):  # each run names its preset itself
        if plan.is_vision:
            return module.read_config(argv)
        return parse(module.Config, plan.agent, argv)


def read_sweep(file: Path) -> Sweep:
    """Read a sweep. Raises: ConfigError, in one line that names file, key and the nearest right name."""
    source = short(file)
    try:
        table = read_toml(file)
    except FileNotFoundError:
        names = [other.name for other in file.parent.glob("*.toml")]
        raise ConfigError(f"no sweep at {source}.{suggest(file.name, names)}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the sweep {source}: {reason_of(error)}") from error
    search, first = table.pop("search", {}), table.pop("first", [])
    if not isinstance(search, dict) or not isinstance(first, list) or not all(isinstance(x, dict) for x in first):
        raise ConfigError(f"{source}: 'search' must be a table, 'first' a list of tables")
    plan = from_dict(Plan, table, source)
    try:
        config_class = importlib.import_module(plan.module).Config
        space = read_space(search, config_class, source)
        start = read_settings(plan)
    except ConfigError as error:
        raise error if str(error).startswith(source) else ConfigError(f"{source}: {error}") from error
    typed = {word.partition("=")[0].replace("_", "-") for word in plan.words if word.startswith("--")}
    if both := [d.name for d in space.dimensions if d.setting.flag in typed]:
        raise ConfigError(f"{source}: '{both[0]}' is in the command and in the search; leave it out of one of them")
    if plan.sampler == "grid":
        space.grid()
    return Sweep(file, plan, space, start, tuple(space.point(point, f"{source}: first") for point in first))


def start_values(sweep: Sweep) -> dict[str, Any]:
    """Return the values of the searched settings that the command has by itself, where the search can find them."""
    return sweep.space.known(to_flat_dict(sweep.start))


def python_words(plan: Plan, words: Sequence[str], seed: int, runs_dir: Path) -> list[str]:
    """Return the command line that makes a run of a trial."""
    return [sys.executable, "-m", *plan.words, *words, "--seed", str(seed), "--runs-dir", str(runs_dir)]

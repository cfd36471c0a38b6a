"""Recipes: what is done to a network, stage after stage, as a TOML file says.

    batch_size = 64

    [[stages]]
    kind = "prune"
    kept = 0.3
    updates = 20_000

Every stage has a `kind` and the settings of the dataclass of that kind below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from rl_gen_lab.cli.errors import CheckpointError, ConfigError, suggest
from rl_gen_lab.cli.regular_file import read_toml, reason_of
from rl_gen_lab.cli.settings import (
    Count,
    OptionalSteps,
    Positive,
    PositiveShare,
    Ranged,
    Share,
    ShareBelowOne,
)
from rl_gen_lab.cli.values import from_dict, to_dict
from rl_gen_lab.runs.folder import RunFolder

Bits = Annotated[int, Interval(ge=2, le=8)]


@dataclass(frozen=True)
class Training(Ranged):
    """What every stage has: how long the network learns in it."""

    # Updates; 0: nothing is learned.
    updates: OptionalSteps = 0
    # Adam's learning rate at the start; it falls to a hundredth along a half cosine.
    learning_rate: Positive = 1e-3


@dataclass(frozen=True)
class Learn(Training):
    """Train a network: a new, small one where a backbone is named (a student), else the one that is there."""

    # Backbone of a new network, by name or layer by layer ("8x8s4-8x4s2-8x3s1-32"); none: keep the network.
    backbone: str | None = None


@dataclass(frozen=True)
class Prune(Training):
    """Set the smallest weights to 0 while the network learns."""

    # Share of the weights that stays.
    kept: PositiveShare = 0.1
    # Compare the weights of the whole network (each layer by its root mean square), or those of each layer.
    scope: Literal["network", "layer"] = "network"
    # Names of layers, or their ends; empty: all.
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeadUnits(Training):
    """Remove units and channels that are 0 for every example: nothing is lost where examples are like these."""

    # Batches of examples that are looked at.
    batches: Count = 50


@dataclass(frozen=True)
class Channels(Training):
    """Remove channels of convolutions and units of fully connected layers."""

    # Share of each layer's channels or units that goes.
    share: ShareBelowOne = 0.5


@dataclass(frozen=True)
class LowRank(Training):
    """Replace matrices and kernels by factors of lower rank."""

    # Share of the squared singular values that stays.
    energy: PositiveShare = 0.9
    # Numbers that all factors together may have, instead of a share; the ranks then follow (none: by energy).
    numbers: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    # Names of layers, or their ends; empty: all with a matrix.
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sharing(Training):
    """Cluster the weights of each layer by k-means, and learn the shared values."""

    # 2^bits values for each layer, 0 among them.
    bits: Bits = 4
    # Weigh errors by the Fisher information (the mean squared gradient of the loss).
    fisher: bool = False
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quantize(Training):
    """Round weights to evenly spaced levels, and learn their distance."""

    # 2^bits - 1 levels for each layer, 0 in the middle.
    bits: Bits = 4
    # Squared distances of two levels that a saved bit is worth: rare levels are avoided (none: the nearest level).
    rate: Positive | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ternarize(Training):
    """Give weights three values for each layer."""

    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binarize(Training):
    """Give weights two values for each row."""

    layers: tuple[str, ...] = ()


STAGES: dict[str, type[Training]] = {
    "learn": Learn,
    "prune": Prune,
    "dead_units": DeadUnits,
    "channels": Channels,
    "low_rank": LowRank,
    "share": Sharing,
    "quantize": Quantize,
    "ternary": Ternarize,
    "binary": Binarize,
}
QUANTIZING = (Sharing, Quantize, Ternarize, Binarize)
STRUCTURAL = (DeadUnits, Channels, LowRank)


@dataclass(frozen=True)
class Common(Ranged):
    """Settings of a recipe that hold for all stages."""

    # Begin every stage with the network as it is, to see what each technique does alone.
    alone: bool = False
    # Examples in an update.
    batch_size: Count = 64
    # Share of the updates of an agent's student in which the teacher plays; the student takes over along a line.
    teacher_plays: Share = 0.3
    # Games that an agent's student plays side by side.
    num_envs: Count = 32
    # Vector steps of play before the first update of each segment.
    first_steps: Count = 64
    # States of an agent's play that updates draw from.
    memory: Count = 16_384
    # Updates for each vector step of play.
    updates_per_step: Count = 1
    # Temperature of the teacher's action values: this quantile of the best one's lead over their mean.
    temperature_quantile: PositiveShare = 0.5
    # Count decisive states more, by how far the teacher's action values lie apart.
    weigh_stakes: bool = True
    # Teach an agent's student to decide alike on all frames that differ by at most so many gray levels, as interval
    # bounds have it (0: only on frames as they are). They grow from 0 over the first half of each stage.
    robust_levels: Annotated[float, Interval(ge=0, le=64)] = 0.0
    # Share of the loss that these bounds have, from that half on.
    robust_weight: Share = 0.5


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was read. names: the kinds of the stages, as in the file."""

    common: Common
    names: tuple[str, ...]
    stages: tuple[Training, ...]

    @property
    def first_backbone(self) -> str | None:
        """The backbone of the new network that the recipe begins with; None where it takes the one that is there."""
        first = self.stages[0]
        return first.backbone if isinstance(first, Learn) else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which `parse` reads."""
        named = zip(self.names, self.stages, strict=True)
        return to_dict(self.common) | {"stages": [{"kind": name} | _given(stage) for name, stage in named]}


def _given(stage: Training) -> dict[str, Any]:
    return {key: value for key, value in to_dict(stage).items() if value is not None}


def read(path: Path) -> Recipe:
    """Read a recipe. Raises: ConfigError for a file, stage or key that cannot be read, or an order without sense."""
    try:
        values = read_toml(path)
    except OSError as error:
        raise ConfigError(f"the recipe {path} cannot be read: {reason_of(error)}") from error
    except ValueError as error:
        raise ConfigError(f"the recipe {path} is no TOML: {error}") from error
    return parse(values, str(path))


def of_run(run: RunFolder) -> Recipe:
    """Read the recipe in the config.json of a compression. Raises: CheckpointError for a folder without one."""
    values, source = run.read_config().get("recipe"), str(run.config_file)
    if not isinstance(values, dict):
        raise CheckpointError(f"{source} is damaged: it holds no recipe; start a new compression")
    try:
        return parse(values, source)
    except ConfigError as error:
        raise CheckpointError(f"{source} is damaged or of another version: {error}") from error


def parse(values: dict[str, Any], source: str) -> Recipe:
    """Read a recipe from plain values; source: named in errors. Raises: as `read`."""
    listed = values.get("stages")
    values = {key: value for key, value in values.items() if key != "stages"}
    if not isinstance(listed, list) or not listed or not all(isinstance(stage, dict) for stage in listed):
        raise ConfigError(f"{source}: a recipe needs at least one [[stages]] table with a kind: {', '.join(STAGES)}")
    common, names, stages = from_dict(Common, values, source), [], []
    for number, settings in enumerate(listed, 1):
        here = f"{source}, stage {number}"
        kind, settings = settings.get("kind"), {key: value for key, value in settings.items() if key != "kind"}
        if not isinstance(kind, str) or kind not in STAGES:
            known = f"known: {', '.join(STAGES)}.{suggest(str(kind), STAGES)}"
            raise ConfigError(f"{here}: unknown kind {kind!r}; {known}")
        names.append(kind)
        stages.append(from_dict(STAGES[kind], settings, f"{here} ({kind})"))
    if not common.alone:
        _check_order(stages, source)
    elif any(isinstance(stage, Learn) and stage.backbone is not None for stage in stages):
        raise ConfigError(
            f"{source}: with alone = true every stage begins with the network as it is: leave out backbone"
        )
    return Recipe(common, tuple(names), tuple(stages))


def _check_order(stages: list[Training], source: str) -> None:
    """Refuse what would be refused after hours otherwise, when the stage begins."""
    for number, stage in enumerate(stages, 1):
        if wrong := _out_of_place(stage, stages[: number - 1]):
            raise ConfigError(f"{source}, stage {number}: {wrong}")


def _out_of_place(stage: Training, before: list[Training]) -> str | None:
    """Return why a stage cannot follow those before it; None where it can."""

    def after(*kinds: type[Training]) -> bool:
        return any(isinstance(earlier, kinds) for earlier in before)

    if before and isinstance(stage, Learn) and stage.backbone is not None:
        return "a new network comes first, for it forgets the stages before"
    if after(*QUANTIZING) and not isinstance(stage, (Learn, *QUANTIZING)):
        return "weights that take few values can only learn further; move it before them"
    if isinstance(stage, (DeadUnits, Channels)) and after(Prune, LowRank):
        return "channels are removed from whole layers; move it before prune and low_rank"
    if not hasattr(stage, "layers") or stage.layers:
        return None
    if isinstance(stage, LowRank) and after(Prune):
        return "pruned layers cannot be factored; move it before prune, or name other layers"
    if isinstance(stage, Binarize) and after(Prune):
        return "binary weights are never 0, so nothing of prune would be left; name other layers"
    if isinstance(stage, QUANTIZING) and after(*QUANTIZING):
        return "weights take few values already; name the layers of each stage"
    return None

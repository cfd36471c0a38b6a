"""Recipes: what is read, what is refused and with which words, and that they come back as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.recipe import (
    STAGES,
    Channels,
    Learn,
    LowRank,
    Prune,
    Quantize,
    Recipe,
    Sharing,
    parse,
    read,
)

CONFIGS = Path(__file__).parents[1] / "configs"
TEXT = """
batch_size = 32
weigh_stakes = false

[[stages]]
kind = "learn"
backbone = "8x8s4-32"
updates = 1_000

[[stages]]
kind = "prune"
kept = 1
layers = ["fc"]

[[stages]]
kind = "share"
fisher = true
learning_rate = 3e-4
"""


def stages(*kinds: str | dict[str, Any], **common: Any) -> Recipe:
    tables = [{"kind": kind} if isinstance(kind, str) else kind for kind in kinds]
    return parse(common | {"stages": tables}, "recipe.toml")


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(TEXT, encoding="utf-8")
    recipe = read(file)
    assert recipe.names == ("learn", "prune", "share")
    assert recipe.stages == (
        Learn(updates=1_000, backbone="8x8s4-32"),
        Prune(kept=1.0, layers=("fc",)),
        Sharing(fisher=True, learning_rate=3e-4),
    )
    assert recipe.common.batch_size == 32 and not recipe.common.weigh_stakes and recipe.common.teacher_plays == 0.3
    assert recipe.first_backbone == "8x8s4-32"
    assert parse(recipe.to_dict(), "again") == recipe


@pytest.mark.parametrize("kind", STAGES)
def test_every_kind_comes_back_as_it_was(kind: str) -> None:
    recipe = stages({"kind": kind, "updates": 7, "learning_rate": 0.5}, memory=99)
    assert type(recipe.stages[0]) is STAGES[kind] and recipe.stages[0].updates == 7
    assert recipe.first_backbone is None
    again = parse(recipe.to_dict(), "again")
    assert again == recipe and again.common.memory == 99


def test_settings_of_each_kind_come_back_too() -> None:
    recipe = stages(
        {"kind": "channels", "share": 0.25},
        {"kind": "low_rank", "energy": 0.5, "layers": ["fc", "conv.0"]},
        {"kind": "quantize", "bits": 2},
    )
    assert recipe.stages == (Channels(share=0.25), LowRank(energy=0.5, layers=("fc", "conv.0")), Quantize(bits=2))
    assert parse(recipe.to_dict(), "again") == recipe


@pytest.mark.parametrize("values", [{}, {"stages": []}, {"stages": {"kind": "prune"}}, {"stages": ["prune"]}])
def test_a_recipe_has_stages(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^mine: a recipe needs at least one \[\[stages\]\] table .*: learn, prune"):
        parse(values, "mine")


def test_unknown_kinds_are_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe.toml, stage 2: unknown kind 'prunes'.*Did you mean 'prune'\?"):
        stages("learn", "prunes")
    for kind in (None, 3, ["prune"], {}):
        with pytest.raises(
            ConfigError, match=r"stage 1: unknown kind .*; known: learn, prune, dead_units, channels, low_rank"
        ):
            stages({"kind": kind})


def test_unknown_keys_and_wrong_types_name_the_stage() -> None:
    with pytest.raises(ConfigError, match=r"stage 1 \(prune\): unknown key 'keep'.*'kept'"):
        stages({"kind": "prune", "keep": 0.5})
    with pytest.raises(ConfigError, match=r"stage 2 \(quantize\): 'bits' must be a whole number from 2 to 8"):
        stages("learn", {"kind": "quantize", "bits": "four"})
    with pytest.raises(ConfigError, match=r"stage 1 \(quantize\): 'bits' must be from 2 to 8, not 9"):
        stages({"kind": "quantize", "bits": 9})
    with pytest.raises(ConfigError, match=r"recipe.toml: unknown key 'batchsize'.*'batch_size'"):
        stages("learn", batchsize=3)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        *(("prune", "kept", value) for value in (0.0, 1.1, float("nan"))),
        *(("channels", "share", value) for value in (-0.1, 1.0)),
        *(("low_rank", "energy", value) for value in (0.0, 2.0)),
        *(("learn", key, -1) for key in ("updates", "learning_rate")),
        ("prune", "scope", "everything"),
    ],
)
def test_values_that_cannot_work_are_refused(kind: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"stage 1 \({kind}\): '{key}' must be"):
        stages({"kind": kind, key: value})


NEW = {"kind": "learn", "backbone": "8x8s4-32"}
FC = ["fc"]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("prune", NEW), "stage 2: a new network comes first"),
        (("learn", NEW), "stage 2: a new network comes first"),
        (("quantize", "prune"), "stage 2: weights that take few values can only learn further"),
        (("share", "learn", "channels"), "stage 3: weights that take few values"),
        (("binary", "low_rank"), "stage 2: weights that take few values"),
        (("prune", "channels"), "stage 2: channels are removed from whole layers; move it before"),
        (("low_rank", "learn", "channels"), "stage 3: channels are removed from whole layers"),
        (({"kind": "prune", "layers": FC}, "low_rank"), "stage 2: pruned layers cannot be factored"),
        (("prune", "binary"), "stage 2: binary weights are never 0"),
        (("quantize", "ternary"), "stage 2: weights take few values already; name the layers"),
    ],
)
def test_orders_without_sense_are_refused_at_once(order: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe.toml, {words}"):
        stages(*order)


@pytest.mark.parametrize(
    "order",
    [
        (NEW, "channels", "low_rank", "prune", "quantize", "learn"),
        ("channels", "channels", "prune", "learn", "prune", "share"),
        ({"kind": "prune", "layers": FC}, {"kind": "low_rank", "layers": ["conv.2"]}),
        ({"kind": "prune", "layers": FC}, {"kind": "binary", "layers": ["conv.2"]}),
        ({"kind": "binary", "layers": FC}, {"kind": "quantize", "layers": ["conv.2"]}),
    ],
)
def test_other_orders_are_taken(order: tuple[Any, ...]) -> None:
    assert len(stages(*order).stages) == len(order)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the recipe .*none\.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)
    for content in (b"batch_size = ", b"\xff\xfe"):
        file = tmp_path / "broken.toml"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"the recipe .*broken\.toml is no TOML"):
            read(file)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("compress_*.toml")), ids=lambda file: file.stem)
def test_the_recipes_of_the_checkout_are_read(file: Path) -> None:
    recipe = read(file)
    assert len(recipe.stages) >= 1 and all(stage.updates for stage in recipe.stages)

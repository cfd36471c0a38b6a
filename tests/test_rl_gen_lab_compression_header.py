"""Tables of a header: what is missing, unknown, of another type, too long or too deep is named in one line."""

from __future__ import annotations

from typing import Any

import pytest

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression.header import DEEPEST, LONGEST_TEXT, check_table, is_numbers, is_plans, is_size, is_texts

SCHEMA = {"size": is_size, "names": is_texts}


def test_a_table_that_fits_its_schema_is_returned() -> None:
    table = {"size": 84, "names": ["ball", "paddle"]}
    assert check_table(table, "it", SCHEMA) is table
    assert check_table(table | {"more": 3}, "it", SCHEMA, {"more": is_size})["more"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it cannot be read: it is no table"),
        ([1], "it is no table"),
        ({"size": 84}, "it has no names"),
        ({"size": 84, "names": [], "seed": 1}, "'seed' is not known"),
        ({"size": True, "names": []}, "its size makes no sense"),
        ({"size": 84.0, "names": []}, "its size makes no sense"),
        ({"size": 10**20, "names": []}, "its size makes no sense"),
        ({"size": 84, "names": ["a", "a"]}, "its names makes no sense"),
        ({"size": 84, "names": ["x" * (LONGEST_TEXT + 1)]}, "a text in it has more than"),
        ({"size": 84, "names": ["a\nb"]}, "cannot be printed"),
        ({"size": 84, "a\x1b[2J": 1, "names": []}, "cannot be printed"),
    ],
)
def test_other_tables_are_refused(value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        check_table(value, "it", SCHEMA)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_deep_nesting_is_refused() -> None:
    value: Any = 1
    for _ in range(DEEPEST + 1):
        value = [value]
    with pytest.raises(CheckpointError, match="nested more than"):
        check_table({"names": value, "size": 1}, "it", SCHEMA)


def test_numbers_are_of_a_range_and_no_truth_values() -> None:
    assert is_numbers([0, 0.5, 255], 0, 255)
    for value in ([], None, "12", [256], [-1], [True], ["1"], [[1]], [10**400]):
        assert not is_numbers(value, 0, 255)


@pytest.mark.parametrize("plan", [{"fc.out_features": 3}, [], [{"layer": "fc", "kind": "linear", "ranks": [2]}], {}])
def test_plans_are_tables_of_sizes_or_lists_of_factored_layers(plan: Any) -> None:
    assert is_plans([["channels", plan]]) and is_plans([])


@pytest.mark.parametrize(
    "plans",
    [
        None,
        {},
        3,
        [[]],
        [["channels"]],
        [["channels", None]],
        [[3, {}]],
        [["channels", {"fc.out_features": "3"}]],
        [["channels", {"fc.out_features": True}]],
        [["low_rank", [3]]],
        [["low_rank", [{"layer": "fc", "kind": "linear"}]]],
        [["low_rank", [{"layer": "fc", "kind": [], "ranks": [2]}]]],
        [["low_rank", [{"layer": "fc", "kind": "linear", "ranks": [-1]}]]],
        [["channels", {}]] * 101,
    ],
)
def test_other_plans_are_none(plans: Any) -> None:
    assert not is_plans(plans)

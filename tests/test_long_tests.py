"""The table of long tests names tests that exist, and leaves of each file some that are not long."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import conftest
import pytest
from long_tests import LONG, is_long

TESTS = Path(__file__).parent


@pytest.mark.parametrize("file", LONG)
def test_what_is_long_exists_and_is_not_all_of_its_file(file: str) -> None:
    defined = set(re.findall(r"^def test_(\w+)", (TESTS / f"{file}.py").read_text(), re.MULTILINE))
    for part in LONG[file]:
        name, bracket, _ = part.partition("[")
        fitting = {test for test in defined if (test == name if bracket else test.startswith(name))}
        assert len(fitting) == 1, part
    assert len(defined) > 1 or any("[" in part for part in LONG[file])


class Item:
    """A collected test that keeps its markers."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid
        self.markers: list[str] = []

    def add_marker(self, marker: pytest.MarkDecorator) -> None:
        self.markers.append(marker.name)


def test_long_ones_are_marked_before_a_run_leaves_them_out(request: pytest.FixtureRequest) -> None:
    part = LONG["test_rl_gen_lab_runs_checkpoints"][0]
    items: list[Any] = [Item(f"tests/test_rl_gen_lab_runs_checkpoints.py::test_{name}") for name in (part, "other")]
    conftest.pytest_collection_modifyitems(items)
    assert [item.markers for item in items] == [["long"], []]
    for item in request.session.items:  # of this run: all of them in `make test`
        assert is_long(item.nodeid) == (item.get_closest_marker("long") is not None)
        assert not (is_long(item.nodeid) and request.config.option.markexpr == "not long")

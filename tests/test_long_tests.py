"""The table of long tests names tests that exist, and leaves of each file some that are not long."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def test_the_whole_run_leaves_them_out_and_a_name_runs_one() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    command += [str(TESTS / "test_rl_gen_lab_runs_checkpoints.py"), "-m"]
    for words, long in (("not long", False), ("long", True)):
        said = subprocess.run([*command, words], cwd=TESTS.parent, capture_output=True, text=True, check=True).stdout
        found = [line for line in said.splitlines() if "::" in line]
        assert found and all(is_long(line) == long for line in found)

"""A comparison is written into a folder of its own: numbers, figure, page."""

import json
from pathlib import Path

import pytest
from synthetic_runs import three_runs

from agents.reports import comparison_folder
from agents.reports.comparison import Comparison
from agents.reports.comparison_folder import write_comparison
from rl_gen_lab.cli.errors import SaveError


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return three_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(comparison, tmp_path_factory.mktemp("comparisons"), "Pong")


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write three bytes instead of drawing."""
    monkeypatch.setattr(comparison_folder, "write_figure", lambda comparison, file: file.write_bytes(b"PNG"))


def test_numbers_file_is_strict_json_with_unreached_scores_as_null(folder: Path) -> None:
    text = (folder / "comparison.json").read_text()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    numbers = json.loads(text, parse_constant=refuse)
    weak = numbers["groups"][1]
    assert weak["time_to_score"]["18"] == {"median_steps": None, "median_minutes": None, "runs": [None]}
    curve = numbers["groups"][0]["curves"]["evaluation_by_steps"]
    assert len(curve["x"]) == len(curve["value"]) == len(curve["low"]) == len(curve["high"]) == 10


@pytest.mark.usefixtures("no_figure")
def test_two_comparisons_in_one_second_get_folders_of_their_own(comparison: Comparison, tmp_path: Path) -> None:
    first, second = (write_comparison(comparison, tmp_path / "out", "Pong") for _ in range(2))
    assert first != second and first.name.startswith("Pong__")


def test_a_comparison_that_cannot_be_written_is_one_line(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="could not save"):
        write_comparison(comparison, tmp_path / "file", "Pong")

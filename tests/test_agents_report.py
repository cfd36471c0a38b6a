"""What the report says is what was measured, with the evidence beside it, in one file that needs no other."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from synthetic_runs import MP4, make_run

from agents.compare import compare_runs, write_comparison
from agents.reports import comparison as report
from agents.reports import figure, html
from agents.reports.comparison import Comparison
from agents.reports.curves import Crossing, load_run
from agents.reports.statistics import Estimate


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two runs of an agent that learns, one of an agent that does not."""
    root = tmp_path_factory.mktemp("runs")
    runs = [make_run(root, "dqn", seed, solved_at=80_000, video=seed == 1) for seed in (1, 2)]
    runs.append(make_run(root, "sb3_dqn", 1, solved_at=900_000))
    return compare_runs([load_run(path) for path in runs])


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison as written."""
    return write_comparison(comparison, tmp_path_factory.mktemp("comparisons"))


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write three bytes instead of drawing: for tests of the page alone."""
    monkeypatch.setattr(figure, "write_figure", lambda comparison, file: file.write_bytes(b"PNG"))


class Links(HTMLParser):
    """Collects every address in a page and checks that tags are closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_needs_no_other_file(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    links = Links()
    links.feed(page)
    assert links.open == []
    assert links.addresses and all(address.startswith("data:") for address in links.addresses)
    assert "<script" not in page


def test_figure_and_film_are_embedded_whole(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    [png] = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert base64.b64decode(png) == (folder / "learning_curves.png").read_bytes()
    [film] = re.findall(r"data:video/mp4;base64,([^\"]+)", page)
    assert base64.b64decode(film) == MP4
    assert "seed 2: no video" in page


@pytest.mark.usefixtures("no_figure")
def test_a_film_too_large_to_embed_is_named_instead(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "LARGEST_VIDEO_BYTES", 1)
    page = (write_comparison(comparison, tmp_path / "out") / "index.html").read_text()
    assert "data:video" not in page and "too large to embed" in page


def test_figure_is_large_and_shows_a_colour_per_agent(folder: Path) -> None:
    with Image.open(folder / "learning_curves.png") as picture:
        assert picture.width >= 1500
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


@pytest.mark.usefixtures("no_figure")
def test_text_from_runs_cannot_become_markup(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, command=["python", "<script>alert(1)</script>"]))
    page = (write_comparison(compare_runs([run]), tmp_path / "out") / "index.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_every_score_stands_beside_its_runs_and_episodes(comparison: Comparison) -> None:
    columns, rows = report.score_table(comparison)
    cells = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [(cell["agent"], cell["runs"], cell["episodes"]) for cell in cells] == [
        ("dqn", "2", "40"),
        ("sb3_dqn", "1", "20"),
    ]
    assert cells[0]["interval over"] == "runs and episodes" and cells[1]["interval over"] == "episodes"
    assert "(2 of 2 runs)" in cells[0]["to 18: median"]
    assert cells[1]["to 18: median"] == "not reached (0 of 1 runs)"


def test_each_run_has_its_own_row_with_hardware_and_command(comparison: Comparison) -> None:
    columns, rows = report.run_table(comparison)
    assert len(rows) == 3 and all(len(row) == len(columns) for row in rows)
    first = dict(zip(columns, rows[0], strict=True))
    assert first["hardware"] == "Test CPU, 2 cores, 8 GB, no GPU"
    assert first["command"].startswith("python -m agents.dqn") and first["commit"] == "0123456789"


def test_page_shows_fingerprint_and_caveats(comparison: Comparison, folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert comparison.fingerprint["hash"] in page
    assert "sb3_dqn: one run" in page


def test_a_gap_whose_interval_holds_zero_is_no_lead(comparison: Comparison) -> None:
    assert "dqn is ahead of sb3_dqn" in report.verdicts(comparison)[0]
    unsure = Estimate(1.0, -0.5, 2.0, 3, 60, "runs and episodes")
    doubtful = dataclasses.replace(comparison, differences=[("a", "b", unsure)])
    assert report.verdicts(doubtful)[0].startswith("a and b cannot be told apart")


def test_numbers_file_is_strict_json_with_unreached_scores_as_null(folder: Path) -> None:
    text = (folder / "comparison.json").read_text()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    numbers = json.loads(text, parse_constant=refuse)
    weak = numbers["groups"][1]
    assert weak["time_to_score"]["18"] == {"median_steps": None, "median_minutes": None, "runs": [None]}
    curve = numbers["groups"][0]["curves"]["evaluation_by_steps"]
    assert len(curve["x"]) == len(curve["value"]) == len(curve["low"]) == len(curve["high"]) == 10


@pytest.mark.usefixtures("no_figure")
def test_two_comparisons_in_one_second_get_folders_of_their_own(comparison: Comparison, tmp_path: Path) -> None:
    first, second = (write_comparison(comparison, tmp_path / "out") for _ in range(2))
    assert first != second


def test_runs_without_any_curve_still_get_a_page(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, steps=800, evaluations=0, status=None))
    folder = write_comparison(compare_runs([run]), tmp_path / "out")
    assert "no final evaluation" in (folder / "index.html").read_text()


def test_time_to_a_score_is_a_median_with_its_count() -> None:
    reached = Crossing(1000, 2.0, 20)
    assert report.crossing_text([reached, reached, None]) == "1,000 steps, 2.0 min (2 of 3 runs)"
    assert report.crossing_text([reached, None, None]) == "not reached (1 of 3 runs)"


def test_unknown_and_infinite_numbers_are_words() -> None:
    assert [report.number(value) for value in (None, float("nan"), float("inf"), 1234.56)] == [
        "-",
        "-",
        "never",
        "1,234.6",
    ]

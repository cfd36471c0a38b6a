"""Generated parts of documents are made from the CSVs; everything else stays."""

import os
from pathlib import Path

import pytest
from result_rows import cartpole_row, recorded, rows_of

from agents.reports.benchmark_figure import write_figure
from agents.reports.documents import Document, stale_figures
from agents.reports.recorded_runs import record
from agents.reports.store import ResultsError, read_csv, write_csv
from agents.reports.tables import table


def document(path: Path, text: str, results_dir: Path) -> Document:
    path.write_text(text)
    return Document.read(path, results_dir)


def test_rendering_fills_markers_and_leaves_all_else_alone(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    readme = tmp_path / "README.md"
    old = document(readme, "# Title\n<!-- results:pong -->\nold\n<!-- /results:pong -->\nend | of file\n", file.parent)
    text, stale = old.render()
    assert stale == ["pong"]
    assert text == f"# Title\n<!-- results:pong -->\n{table(file)}<!-- /results:pong -->\nend | of file\n"
    assert document(readme, text, file.parent).render() == (text, [])


def test_a_document_in_another_folder_links_the_figure_from_there(tmp_path: Path) -> None:
    row = cartpole_row(tmp_path)
    results = tmp_path / "results"
    record(results / "classic.csv", rows_of(row, "ppo", 10))
    text = "<!-- results:classic:suite -->\n<!-- /results:classic:suite -->\n"
    (tmp_path / "docs").mkdir()
    assert "](results/classic.png)" in document(tmp_path / "README.md", text, results).render()[0]
    inner = document(tmp_path / "docs" / "results.md", text, results)
    assert "](../results/classic.png)" in inner.render()[0]
    assert inner.benchmarks() == [results / "classic.csv"]
    assert stale_figures(inner.benchmarks()) == [results / "classic.csv"]
    write_figure(results / "classic.csv")
    assert stale_figures(inner.benchmarks()) == []


def test_a_marker_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="<!-- results:pong --> is not closed"):
        document(tmp_path / "README.md", "<!-- results:pong -->\n", tmp_path)


@pytest.mark.parametrize(
    ("readme", "message"),
    [
        ("<!-- results:pnog -->\n<!-- /results:pnog -->", "Did you mean 'pong'"),
        ("<!-- results:pong:poem -->\n<!-- /results:pong:poem -->", "unknown form"),
    ],
)
def test_broken_markers_are_refused(tmp_path: Path, readme: str, message: str) -> None:
    file = recorded(tmp_path, seeds=(1,))
    with pytest.raises(ResultsError, match=message):
        document(tmp_path / "README.md", readme, file.parent).render()


def test_a_cell_that_is_no_number_is_refused_with_its_file(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1,))
    columns, (row,) = read_csv(file)
    write_csv(file, columns, [row | {"steps_per_second": "x"}])
    with pytest.raises(ResultsError, match=r"pong\.csv has a missing column or a cell that is not a number"):
        document(tmp_path / "README.md", "<!-- results:pong -->\n<!-- /results:pong -->", file.parent).render()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["UTF-16", "pipe", "memory", "markers"])
def test_a_document_that_is_no_text_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    readme = tmp_path / "README.md"
    if kind == "pipe":
        os.mkfifo(readme)
    elif kind == "memory":
        readme.symlink_to("/proc/self/mem")
    else:
        readme.write_bytes("# T".encode("utf-16") if kind == "UTF-16" else b"<!-- results:a -->\n" * 20_000)
    with pytest.raises(ResultsError, match=r"README\.md"):
        Document.read(readme, tmp_path)


@pytest.mark.parametrize("cell", ["9" * 400, "-inf", "nan", "", "x", "1e308", "[1]"])
def test_cells_that_are_no_numbers_are_refused_by_the_name_of_their_file(tmp_path: Path, cell: str) -> None:
    file = recorded(tmp_path, seeds=(1, 2, 3))
    columns, rows = read_csv(file)
    for name in columns:
        write_csv(file, columns, [row | {name: cell} for row in rows])
        text = "".join(f"<!-- results:{form} -->\n<!-- /results:{form} -->\n" for form in ("pong", "pong:sentence"))
        try:
            document(tmp_path / "README.md", text, file.parent).render()
        except ResultsError as error:
            assert "pong.csv" in str(error)

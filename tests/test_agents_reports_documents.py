"""Generated parts of documents are made from the CSVs; everything else stays."""

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

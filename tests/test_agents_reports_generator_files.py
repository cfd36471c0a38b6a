"""The record of generators' files: bits of every coder, sorted, and runs without a measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import results
from agents.reports import generator_files
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError
from rl_gen_lab.runs.folder import RunFolder


def a_run(path: Path, **sizes: object) -> Path:
    path.mkdir()
    config = {
        "config": {"task": "generate", "generate": {"model": "vae"}},
        "env_id": "pong",
        "data": "0",
        "commit": "c0ffee",
    }
    (path / "config.json").write_text(json.dumps(config))
    measured = {
        "images": 10,
        "split": "test",
        "file_bytes": 130,
        "bits_per_image": 104.0,
        "bound_bits_per_image": 100.0,
    }
    coders = {"PNG": 2_500, "WebP": 1_000, "xz": 100}
    (path / "codec.json").write_text(json.dumps(measured | {"coders": coders} | sizes))
    return path


def test_a_table_ranks_the_file_among_the_other_coders(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:generator_files:files -->\nold\n<!-- /results:generator_files:files -->\n")
    run = a_run(tmp_path / "run")
    words = ["--record", "generator_files", "--what", "32 numbers", "--results-dir", str(tmp_path / "results")]
    results.main([str(run), *words, "--readme", str(readme)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.read_text().splitlines() if "|" in line]
    assert rows[2:] == [
        ["pong", "xz, all images as a sequence", "80.0", "-"],
        ["pong", "**vae**, 32 numbers", "104.00", "1.040"],
        ["pong", "WebP", "800.0", "-"],
        ["pong", "PNG", "2000.0", "-"],
    ]


def test_a_run_without_a_measured_file_is_refused_with_the_command(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    for content in ("{}", "[]", '{"images": "many"}', '{"images": 3, "coders": 5}'):
        (run / "codec.json").write_text(content)
        with pytest.raises(RunDataError, match=r"python -m rl_gen_lab\.codec compare"):
            generator_files.row_of(RunFolder.open(run), "it")


def test_another_csv_is_refused_and_none_is_said(tmp_path: Path) -> None:
    assert "Not recorded yet" in generator_files.section(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record files"):
        generator_files.section(tmp_path / "other.csv")

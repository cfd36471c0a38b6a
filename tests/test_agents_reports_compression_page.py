"""The ledger as a page: everything embedded, text escaped."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from test_agents_reports_compression import compression_run

from agents.reports import compression_page
from agents.reports.run_record import RunDataError


def test_the_page_holds_its_figure_and_a_row_for_each_stage(tmp_path: Path) -> None:
    run = compression_run(tmp_path)
    run.write_config(run.read_config() | {"config": {"run": "runs/<b>odd</b>"}})
    page = compression_page.write(run).read_text()
    (picture,) = re.findall(r"base64,([^']+)'", page)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.width > 500
    assert page.count("<tr>") == 1 + 3 and "17.5 ± 0.5" in page and "<b>" not in page
    assert "http" not in page


def test_an_unfinished_compression_has_no_page(tmp_path: Path) -> None:
    run = compression_run(tmp_path)
    (run.path / "result.json").unlink()
    with pytest.raises(RunDataError):
        compression_page.write(run)
    assert not (run.path / "ledger.html").exists()

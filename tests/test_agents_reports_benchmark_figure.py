"""The figure of a benchmark is redrawn exactly when its rows change."""

from pathlib import Path

import pytest
from PIL import Image
from result_rows import cartpole_row, rows_of

from agents.reports.benchmark_figure import is_current, write_figure
from agents.reports.recorded_runs import record
from agents.reports.store import Row


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return cartpole_row(tmp_path)


def test_the_same_rows_give_the_same_figure_byte_by_byte_and_others_make_it_stale(
    tmp_path: Path, template: Row
) -> None:
    file = tmp_path / "classic.csv"
    rows = [row for agent, level in (("ppo", 10), ("sb3_ppo", 50)) for row in rows_of(template, agent, level)]
    more = rows_of(template, "ppo", 7, seeds=1, fingerprint="other", env_id="Pendulum-v1")
    record(file, rows + more)
    assert not is_current(file)
    path = write_figure(file)
    first = path.read_bytes()
    assert is_current(file)
    assert write_figure(file).read_bytes() == first
    with Image.open(path) as image:
        assert image.width > 1.5 * image.height  # two tasks beside each other
    record(file, rows_of(template, "ppo", 10, seeds=4)[3:])
    assert not is_current(file)
    path.write_bytes(b"no image")
    assert not is_current(file)

"""Tables and figure of the plan to many actors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.reports import scale
from agents.reports.store import ResultsError, Row, write_csv

ROW: Row = dict(
    what="plan", actors="1000", steps_per_second="139.0", chunk_steps="64", batch_chunks="512", update_ms="50.0",
    broadcast_ms="500.0", delay_ms="300.0", queue_batches="2", when_full="oldest", used_per_second="138000.0",
    dropped="0.347", lag_median="12", lag_95="17", queue="0.9", idle="0.0", waiting="0.0", bottleneck="learner",
    frame_bytes="7056.0", packed_bytes="60.0", other_bytes="16.0", unpack_us="3.0", weight_bytes="850000.0",
    actors_per_host="16", fan_out="8", raw_mb="7072.0", packed_mb="76.0", unpack_cores="3.0", to_actors_mb="1700.0",
    to_hosts_mb="107.1", tree_node_mb="13.6", tree_levels="2",
)  # fmt: skip


def ledger(folder: Path, *rows: Row) -> Path:
    file = folder / "scale_plan.csv"
    write_csv(file, list(ROW), rows)
    return file


def sweeps() -> list[Row]:
    actors = [ROW | {"what": scale.ACTORS, "actors": str(n)} for n in (100, 10, 1000)]
    return actors + [ROW | {"what": scale.QUEUE, "when_full": rule} for rule in scale.RULES]


def test_tables_say_every_plan_and_its_inputs_and_leave_out_the_sweeps(tmp_path: Path) -> None:
    file = ledger(tmp_path, ROW, *sweeps(), ROW | {"what": "each", "broadcast_ms": "0.0", "fan_out": "4"})
    flow = scale.flow(file).splitlines()
    cells = [cell.strip() for cell in flow[2].strip("|").split("|")]
    assert cells == [
        *("plan", "1,000 x 139, 64", "32,768, 50 ms", "500 ms, 300 ms", "1,024, drop the oldest", "138,000", "35%"),
        *("12 / 17", "90%", "0%", "0%", "learner"),
    ]
    assert "| update, 300 ms |" in flow[3] and flow[4:] == ["", flow[-1]] and "results/scale_plan.csv" in flow[-1]
    traffic = scale.traffic(file)
    assert "| plan | 1,000 | 7.07e+03 | 76 | 3 | 1.7e+03 | 107 | 13.6 | 2 |" in traffic.replace("7,072", "7.07e+03")
    assert "60 packed" in traffic and "on to 8; or " in traffic and "on to 4." in traffic


def test_the_figure_needs_both_sweeps_and_is_not_blank(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match='--what "more actors" and "longer queue"'):
        scale.write_figure(ledger(tmp_path, ROW), tmp_path / "plan.png")
    assert not (tmp_path / "plan.png").exists()
    picture = scale.write_figure(ledger(tmp_path, *sweeps()), tmp_path / "plan.png")
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 2 * pixels.shape[0] and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20

"""Dead workers are told from living ones, by their process on this machine and by their signs of life elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from agents.experiments import heartbeat
from agents.experiments.heartbeat import BEAT_SECONDS, DEAD_SECONDS, Watch, end_runs, living, process_of, this_worker

pytestmark = pytest.mark.timeout(60)


def trial(number: int = 0, beat: int = 0, worker: Any = None) -> Any:
    return SimpleNamespace(number=number, user_attrs={"beat": beat, "worker": worker}, intermediate_values={})


def elsewhere() -> dict[str, Any]:
    return this_worker() | {"machine": "another"}


def sleeper(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words])


def test_a_worker_of_this_machine_is_dead_when_its_process_is_gone() -> None:
    process = sleeper()
    worker = this_worker() | process_of(process.pid)
    watch = Watch()
    assert watch.dead([trial(worker=worker)]) == [] and living(worker) is not None
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert [t.number for t in watch.dead([trial(worker=worker)])] == [0]  # nobody has waited for it yet,
    process.wait()
    assert [t.number for t in watch.dead([trial(worker=worker)])] == [0]  # and now somebody has


def test_a_process_that_got_the_number_of_a_dead_one_is_not_it() -> None:
    described = process_of(os.getpid())
    assert living(described) is not None
    assert living(described | {"started": described["started"] - 100}) is None
    assert living(None) is None and living({"pid": "x"}) is None


def test_a_worker_elsewhere_is_dead_when_its_sign_of_life_has_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now)
    watch, slow, dead = Watch(), trial(0, worker=elsewhere()), trial(1, worker=elsewhere())
    for step in range(100):
        now = float(step)
        slow.user_attrs["beat"] = step // 30  # every half a minute, by its own clock
        found = [t.number for t in watch.dead([slow, dead])]
        assert found == ([1] if now > DEAD_SECONDS else [])


def test_a_worker_that_never_gave_a_sign_is_given_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now)
    watch = Watch()
    assert watch.dead([trial(worker=None)]) == []
    now += DEAD_SECONDS - 1
    assert watch.dead([trial(worker=None)]) == []
    now += 2
    assert len(watch.dead([trial(worker=None)])) == 1


def test_the_dead_are_found_within_a_minute_and_the_living_have_time() -> None:
    assert DEAD_SECONDS + 2 * 5.0 < 60 and DEAD_SECONDS > 4 * BEAT_SECONDS


def test_runs_that_a_dead_worker_left_are_ended_and_others_are_not(tmp_path: Path) -> None:
    mine, other = tmp_path / "trials" / "0001", tmp_path / "trials" / "0002"
    module = tmp_path / "asleep.py"
    module.write_text("import time\ntime.sleep(60)\n")

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "asleep", *words], cwd=tmp_path)

    runs = [start("--runs-dir", str(mine / "seed_1")), start("--resume", str(mine / "seed_2" / "run"))]
    spared = [start("--runs-dir", str(other)), sleeper(str(mine)), start("--runs-dir", f"{mine}0")]
    try:
        deadline = time.monotonic() + 20
        while any("asleep" not in " ".join(psutil.Process(run.pid).cmdline()) for run in runs):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        end_runs("asleep", mine)
        assert all(run.poll() is not None for run in runs) and all(run.poll() is None for run in spared)
    finally:
        for process in (*runs, *spared):
            process.kill()
            process.wait()

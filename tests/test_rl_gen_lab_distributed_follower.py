"""The processes beside the first print nothing, and write where nobody looks."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rl_gen_lab.distributed.follower import scratch_folder, silent
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.folder import RunFolder


def test_the_first_process_alone_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with silent(Ranks()):
        print("first")
    with silent(Ranks(1, 2)):
        print("second")
    print("after")
    assert capsys.readouterr().out == "first\nafter\n"


def test_a_scratch_folder_has_what_resuming_reads_and_is_removed(tmp_path: Path) -> None:
    earlier = RunFolder.create(tmp_path, "ppo", "CartPole", 1)
    earlier.write_config({"env_id": "CartPole-v1"})
    (earlier.checkpoints / "best.safetensors").write_bytes(b"weights")
    with scratch_folder("ppo", "CartPole", 1, earlier) as run:
        assert run.read_config() == {"env_id": "CartPole-v1"} and tmp_path not in run.path.parents
        assert (run.checkpoints / "best.safetensors").read_bytes() == b"weights"
        place = run.path
    with scratch_folder("ppo", "CartPole", 1, None) as run:
        assert run.checkpoints.is_dir() and not run.config_file.exists()
    assert not place.exists()


def test_what_a_killed_process_left_is_removed_by_the_next_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    words = "import sys, tempfile; from rl_gen_lab.distributed.follower import scratch_folder\n"
    words += "tempfile.tempdir = sys.argv[1]\n"
    words += "with scratch_folder('ppo', 'CartPole', 1, None) as run: print(run.path, flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", words, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    place = Path(child.stdout.readline().strip())
    (tmp_path / "rl_gen_lab-rank-mine").mkdir()
    (tmp_path / "rl_gen_lab-rank-link").symlink_to(tmp_path)
    with scratch_folder("ppo", "CartPole", 1, None) as run:
        assert place.is_dir() and run.path.is_dir()  # it lives
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert place.is_dir()
    with scratch_folder("ppo", "CartPole", 1, None):
        assert not place.parent.exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["rl_gen_lab-rank-link", "rl_gen_lab-rank-mine"]

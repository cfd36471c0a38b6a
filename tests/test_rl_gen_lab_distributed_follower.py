"""The processes beside the first print nothing, and write where nobody looks."""

from __future__ import annotations

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

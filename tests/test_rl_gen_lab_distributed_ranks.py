"""The place of a process by the variables of torchrun, and the run that a restarted process goes on with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.ranks import Ranks, after_restart, share_of

PLACE = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def test_variables_of_torchrun() -> None:
    assert Ranks.of({}) == Ranks.of({"RANK": "0"}) == Ranks() and Ranks().leads
    elastic = {"LOCAL_RANK": "1", "TORCHELASTIC_RESTART_COUNT": "3", "TORCHELASTIC_RUN_ID": "a"}
    assert Ranks.of(PLACE | elastic) == Ranks(1, 2, 1, 3, "a")
    assert not Ranks.of(PLACE).leads and Ranks.of(PLACE).described() == {"ranks": {"size": 2, "launch": ""}}
    assert Ranks().described() == {}
    alone = Ranks(0, 3, launch="a").alone()  # restarted processes find its run all the same
    assert alone.size == 1 and alone.leads and alone.described() == {"ranks": {"size": 1, "launch": "a"}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RANK": "x"}, "RANK=x, WORLD_SIZE=2"),
        ({"RANK": "2"}, "RANK=2 does not lie from 0 to below WORLD_SIZE=2"),
        ({"RANK": "-1"}, "RANK=-1"),
    ],
)
def test_impossible_variables_are_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Ranks.of(PLACE | changes)


def test_processes_that_cannot_find_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="MASTER_ADDR and MASTER_PORT are not"):
        Ranks.of({"RANK": "0", "WORLD_SIZE": "2"})


def test_shares() -> None:
    assert share_of(8, Ranks(0, 4), "--x") == 2 and share_of(7, Ranks(), "--x") == 7
    with pytest.raises(ConfigError, match="--x 1 cannot be dealt equally to 2 processes: use 2"):
        share_of(1, Ranks(0, 2), "--x")


def make_run(runs: Path, name: str, launch: str | None, *, seconds: int, checkpoint: bool = True) -> Path:
    folder = runs / name
    (folder / "checkpoints").mkdir(parents=True)
    if checkpoint:
        (folder / "checkpoints" / "latest").mkdir()
    config = {} if launch is None else {"ranks": {"size": 2, "launch": launch}}
    (folder / "config.json").write_text(json.dumps(config))
    os.utime(folder / "config.json", (seconds, seconds))
    return folder


def test_restarted_processes_resume_the_newest_run_of_their_launch(tmp_path: Path) -> None:
    words, again = ["--env", "CartPole"], Ranks(0, 2, 0, 1, "mine")
    assert after_restart(words, again, tmp_path / "none") == words
    make_run(tmp_path, "of others", "another", seconds=9)
    make_run(tmp_path, "alone", None, seconds=9)
    make_run(tmp_path, "killed before its checkpoint", "mine", seconds=9, checkpoint=False)
    (tmp_path / "a file").write_text("")
    assert after_restart(words, again, tmp_path) == words
    make_run(tmp_path, "older", "mine", seconds=1)
    newer = make_run(tmp_path, "newer", "mine", seconds=2)
    assert after_restart(words, again, tmp_path) == ["--resume", str(newer)]
    assert after_restart(words, Ranks(0, 2, 0, 0, "mine"), tmp_path) == words  # not restarted
    assert after_restart(["--resume", "x"], again, tmp_path) == ["--resume", "x"]
    with pytest.raises(ConfigError, match="--standalone"):
        after_restart(words, Ranks(0, 2, 0, 1, "none"), tmp_path)

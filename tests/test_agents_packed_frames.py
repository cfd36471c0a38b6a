"""The command that measures packed frames: rows, what is compared, refusals."""

from __future__ import annotations

import csv
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agents import packed_frames
from agents.packed_frames import Config
from agents.rl.packed_frames import zstandard
from rl_gen_lab.cli.errors import ConfigError

TINY = ["--frames", "40", "--num-envs", "2", "--rounds", "1", "--chunk", "8", "16"]


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "packed_frames.csv").read_text().splitlines()))


def test_a_row_for_each_game_play_coder_and_chunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        packed_frames.main([*TINY, "--games", "Pong", "--results-dir", str(tmp_path)])
    found, coders = rows(tmp_path), 2 if zstandard() else 1
    assert len(found) == 2 * coders * 2
    assert {row["play"] for row in found} == {"random", "models/pong.rlz"} and {row["game"] for row in found} == {
        "Pong"
    }
    for row in found:
        assert int(row["frames"]) == 2 * (40 // int(row["chunk"])) * int(row["chunk"])
        assert 10 < float(row["bytes a frame"]) < 1_000 and float(row["us to pack"]) > 0
    assert "bytes and 5 us" in capsys.readouterr().out


def test_sizes_are_those_of_the_coder() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 2, (1, 8, 1, 12, 12), np.uint8)
    config = Config(games=(), policies=(), chunk=(4,), frames=8, num_envs=1, rounds=1)
    row = packed_frames.measure(frames, config)[0]
    size = 0
    for chunk in (frames[0, :4], frames[0, 4:]):
        differences = [chunk[0], *(b ^ a for a, b in pairwise(chunk))]
        size += 1 + len(zlib.compress(np.stack(differences).tobytes(), 1))
    assert row["coder"] == "xor + zlib 1" and row["bytes a frame"] == round(size / 8, 1)


def test_play_is_the_same_for_a_seed_and_one_game_after_the_other() -> None:
    config = Config(games=("Pong",), policies=(), chunk=(4,), frames=30, num_envs=2)
    (first,), (again,) = list(packed_frames.played(config)), list(packed_frames.played(config))
    assert first[:2] == ("Pong", "random") and first[2].shape == (2, 30, 1, 84, 84)
    assert np.array_equal(first[2], again[2]) and not np.array_equal(first[2][0], first[2][1])


def test_without_the_package_zlib_is_measured_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    packed_frames.main([*TINY, "--games", "Pong", "--policies", "--results-dir", str(tmp_path)])
    assert {row["coder"] for row in rows(tmp_path)} == {"xor + zlib 1"}
    assert "make setup" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="--frames 64 or more"):
        Config(frames=32)
    with pytest.raises(ConfigError, match="--games CartPole: only Atari"):
        Config(games=("CartPole",))


def test_a_file_that_is_no_policy_and_a_file_for_a_folder_are_refused_before_the_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packed_frames, "_frames", lambda *_: pytest.fail("played"))
    (file := tmp_path / "file").write_text("nothing")
    for flag, said in (("--policies", "this is no packed network"), ("--results-dir", "could not save")):
        with pytest.raises(SystemExit):
            packed_frames.main([flag, str(file)])
        assert said in capsys.readouterr().err


def test_both_replay_memories_are_measured_with_the_same_play(tmp_path: Path) -> None:
    words = ["--games", "Pong", "--transitions", "512", "--num-envs", "2", "--rounds", "1"]
    packed_frames.main([*words, "--results-dir", str(tmp_path)])
    plain, packed = csv.DictReader((tmp_path / "packed_replay.csv").read_text().splitlines())
    assert (plain["memory"], packed["memory"]) == ("plain", "packed") and plain["transitions"] == "512"
    assert float(plain["MB"]) == pytest.approx(513 * 7_056e-6 + 512 * 17e-6, abs=0.06)
    assert float(packed["MB"]) < 0.4 and float(packed["ms to draw 32"]) > 0  # 0.23 of them are not packed yet
    with pytest.raises(ConfigError, match="256 or more"):
        Config(transitions=100)

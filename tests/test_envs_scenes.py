"""Datasets of scenes: the same bytes for the same command, complete after an interruption."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import files, pong_folder, read

from envs import scenes
from envs.config import EnvConfig
from envs.dataset import folder


@pytest.fixture
def pong() -> Path:
    return pong_folder()


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes(pong: Path, tmp_path: Path) -> None:
    again = scenes.write(scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "again", every=5))
    other = scenes.write(scenes.Config("Pong", frames=40, seed=4, out=tmp_path / "other", every=5))
    assert files(again) == files(pong)
    assert files(other)["images/000007.png"] != files(pong)["images/000007.png"]


@pytest.mark.slow
def test_a_stopped_command_goes_on_to_the_same_bytes(pong: Path, tmp_path: Path) -> None:
    config = scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "data", every=5)

    def stop(done: int) -> None:
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scenes.write(config, on_frame=stop)
    assert len(list((tmp_path / "data" / "parts").glob("0*.json"))) == 4  # four frames an episode
    begun: list[int] = []
    scenes.write(config, on_frame=begun.append)
    assert 15 not in begun and 17 in begun, "complete episodes are not recorded again"
    assert files(tmp_path / "data") == files(pong)


@pytest.mark.parametrize("frames", [10, 24, 37, 199, 5_000, 5_013])
def test_every_split_has_frames_whatever_their_number(frames: int) -> None:
    shares: list[int] = []
    given = 0
    while given < frames:
        shares.append(min(scenes._frames_of(frames, len(shares)), frames - given))
        given += shares[-1]
    assert sum(shares) == frames and min(shares) > 0 and max(shares) - min(shares) <= 1
    assert {folder.split_of(episode) for episode in range(len(shares))} == set(folder.SPLITS)
    assert len(shares) == min(max(frames // 20, 10), 20)


@pytest.mark.slow
def test_interventions_are_a_share_and_show_rare_scores(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=40, out=tmp_path / "data", every=5, interventions=0.9))
    slots = [s for split in folder.SPLITS for s in read(path, "slots", split)["annotations"]]
    assert sum(s["intervened"] for s in slots) > 28
    assert max(s["slots"]["player_score"] for s in slots if s["intervened"]) > 10
    assert max(s["slots"]["player_score"] for s in slots if not s["intervened"]) < 3


@pytest.mark.slow
def test_history_keeps_the_frame_before(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=20, out=tmp_path / "data", every=30, history=True))
    moved = 0
    for split in folder.SPLITS:
        slots = {s["image_id"]: s["slots"] for s in read(path, "slots", split)["annotations"]}
        for image in read(path, "instances", split)["images"]:
            now, before = (
                np.argwhere(np.asarray(Image.open(path / "images" / image[key]))[34:194, :, 0] == 236)
                for key in ("file_name", "before")
            )
            velocity = slots[image["id"]]["ball_x_velocity"]
            if len(now) == len(before) == 8 and velocity is not None:
                assert now[:, 1].mean() - before[:, 1].mean() == velocity
                moved += 1
        assert "flies" in read(path, "captions", split)["annotations"][0]["caption"]
    assert moved > 5


@pytest.mark.slow
def test_a_share_of_an_agent_s_episodes_is_random_play(tmp_path: Path) -> None:
    def begun(share: float) -> int:
        firsts = []

        def act(obs: np.ndarray, first: bool) -> int:
            firsts.append(first)
            return 3

        out = tmp_path / str(share)
        scenes.write(scenes.Config("Pong", frames=20, out=out, every=2, random_episodes=share), scenes.Agent(act, "it"))
        return sum(firsts)

    assert (begun(0.0), begun(1.0)) == (10, 0) and 0 < begun(0.5) < 10


@pytest.mark.slow
def test_an_agent_gets_the_observations_of_the_standard_pipeline(tmp_path: Path) -> None:
    shapes, firsts = set(), []

    def act(obs: np.ndarray, first: bool) -> int:
        shapes.add(obs.shape)
        firsts.append(first)
        return 3

    config = scenes.Config("Pong", frames=20, out=tmp_path / "data", every=2, world=EnvConfig(frame_stack=2))
    path = scenes.write(config, scenes.Agent(act, "climber"))
    assert shapes == {(2, 84, 84)}
    assert firsts[:5] == [True, False, False, False, True] and sum(firsts) == 10, "two frames of each, two steps apart"
    assert json.loads((path / "dataset.json").read_text())["settings"]["player"] == "climber"


@pytest.mark.slow
def test_the_command_says_how_large_before_and_how_many_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.main(["--env", "Breakout", "--frames", "20", "--every", "2", "--out", str(tmp_path / "data")])
    first, *_, last = capsys.readouterr().out.splitlines()  # lines of progress between them on a slow machine
    shown = float(first.rpartition("about ")[2].split()[0])
    size = sum(len(content) for content in files(tmp_path / "data").values()) / 1e6
    assert "20 frames of Breakout" in first and shown >= 0
    assert "20 frames ({'train': 16, 'val': 2, 'test': 2})" in last
    with Image.open(tmp_path / "data" / "sheet.png") as sheet:
        assert sheet.size > (1400, 1000)
    assert scenes.expected_bytes(scenes.Config("Breakout", frames=20)) / 1e6 == pytest.approx(size, rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "empty"), [(3, "val and test"), (9, "test"), (10, "")])
def test_splits_without_frames_are_named(
    frames: int, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.main(["--env", "Pong", "--frames", str(frames), "--every", "2", "--out", str(tmp_path / "data")])
    last = capsys.readouterr().out.splitlines()[-1]
    shown = f"no frames for {empty}: no model can be trained on this folder; 10 frames or more fill every split"
    assert last == shown if empty else "see" in last


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--env", "Qbert"], "no ground truth for ALE/Qbert-v5"),
        (["--env", "Pnog"], "did you mean 'Pong'"),
        (["--interventions", "2"], "--interventions must be from 0 to 1"),
        (["--epsilon", "-1"], "--epsilon must be from 0 to 1"),
        (["--frames", "0"], "--frames must be from 1 to 10^9"),
        (["--random-episodes", "1.5"], "--random-episodes must be from 0 to 1"),
        (["--observe", "objects"], "random play observes nothing"),
    ],
)
def test_what_cannot_be_meant_is_one_line(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scenes.main(flags)
    shown = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and len(shown) == 1 and message in shown[0]


def test_frames_that_never_come_end_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scenes.main(["--env", "CartPole", "--every", "10000", "--frames", "3", "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert re.search(r"the longest had \d+ steps, .* use a smaller --every", capsys.readouterr().err)


def test_an_image_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "000000.png").symlink_to(tmp_path / "mine")
    folder.save_image(np.zeros((4, 4, 3), np.uint8), tmp_path / "000000.png")
    assert (tmp_path / "mine").read_text() == "mine"
    with Image.open(tmp_path / "000000.png") as image:
        assert image.size == (4, 4)

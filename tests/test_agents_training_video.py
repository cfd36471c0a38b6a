"""Videos: frames of the promised size, bars that show the values, files that can be read back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import odd_envs
import pytest
from gymnasium import spaces
from PIL import Image, ImageSequence

from agents.rl.interfaces import Policy
from agents.training.video import (
    BAR,
    CHOSEN,
    HEIGHT,
    MOST_BARS,
    PANEL,
    WIDEST,
    action_names,
    draw,
    in_words,
    no_video,
    play_episode,
    write_gif,
    write_mp4,
)
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import SaveError, UserError


def picture(height: int, width: int, level: int = 90) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def is_color(frame: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((frame == np.array(color)).all(axis=-1))


@pytest.mark.parametrize(("height", "width"), [(210, 160), (400, 600), (96, 97), (35, 50), (1, 1)])
def test_a_frame_has_the_films_height_and_an_even_width(height: int, width: int) -> None:
    frame = draw(picture(height, width), 3.0, 1, np.array([0.0, 1.0]), ["a", "b"], (0.0, 1.0))
    assert frame.shape[0] == HEIGHT
    assert frame.shape[1] % 2 == 0
    assert abs(frame.shape[1] - PANEL - width * HEIGHT / height) <= 2
    assert frame.shape[2] == 3
    assert frame.dtype == np.uint8
    assert (frame[:, : frame.shape[1] - PANEL] == 90).all()  # the game fills its side


def bar_lengths(values: list[float], spread: tuple[float, float], action: int) -> list[int]:
    """Length in pixels of each bar, top to bottom, without the one of the action chosen."""
    frame = draw(picture(210, 160), 0.0, action, np.array(values), [""] * len(values), spread)
    rows = is_color(frame, BAR).sum(axis=1)
    starts = [y for y in range(1, HEIGHT) if rows[y] and not rows[y - 1]]
    return [int(rows[y]) for y in starts]


def test_bars_grow_with_the_value_between_the_ends_of_the_episode() -> None:
    lowest, middle, highest = bar_lengths([-2.0, 0.0, 2.0, 9.0], (-2.0, 2.0), 3)
    assert lowest < middle < highest
    assert middle - 1 == pytest.approx((highest - 1) / 2, abs=1)
    assert len(bar_lengths([1.0, 1.0], (1.0, 1.0), 0)) == 1  # no spread: no division by zero


def test_the_action_chosen_has_the_other_color() -> None:
    tops = []
    for action in (0, 2):
        frame = draw(picture(210, 160), 0.0, action, np.array([1.0, 1.0, 1.0]), ["", "", ""], (0.0, 1.0))
        tops.append(int(np.flatnonzero(is_color(frame, CHOSEN).any(axis=1))[0]))
    assert tops[1] - tops[0] == 56  # two rows down
    nobody = draw(picture(210, 160), 0.0, None, None, [], (0.0, 1.0))
    assert not is_color(nobody, CHOSEN).any()
    assert not is_color(nobody, BAR).any()


def test_eighteen_actions_fit_into_the_frame() -> None:
    assert len(bar_lengths([1.0] * 18, (0.0, 1.0), 17)) == 17


@pytest.mark.parametrize("actions", [24, 30, 200])
def test_more_actions_than_fit_are_drawn_without_an_error(actions: int) -> None:
    frame = draw(picture(64, 48, 20), 0.0, 0, np.ones(actions, np.float32), [], (0.0, 1.0))
    assert frame.shape[0] == HEIGHT


def test_of_many_actions_the_best_are_drawn_and_the_one_that_was_chosen() -> None:
    values = np.arange(10_000.0)
    frame = draw(picture(64, 48, 20), 0.0, 3, values, [""] * len(values), (0.0, 10_000.0))
    chosen, others = (np.flatnonzero(is_color(frame, color).any(axis=1)) for color in (CHOSEN, BAR))
    assert chosen.max() < others.min()  # the first action stands on top
    assert others.max() < HEIGHT  # and the last within the frame
    assert len(bar_lengths(values.tolist(), (0.0, 10_000.0), 3)) == MOST_BARS - 1


def colored(n: int, height: int = 64, width: int = 48) -> list[np.ndarray]:
    """Frames that all differ: a bright bar that moves."""
    frames = [picture(height, width, 20) for _ in range(n)]
    for k, frame in enumerate(frames):
        frame[:, 2 * k % width : 2 * k % width + 4] = (250, 200, 30)
        frame[k % height] = 140
    return frames


def test_an_mp4_can_be_read_back_with_every_frame(tmp_path: Path) -> None:
    frames = colored(23)
    path = tmp_path / "new" / "film.mp4"
    write_mp4(path, frames, fps=10)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 23
    assert seconds == pytest.approx(2.3, abs=0.15)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    raw = subprocess.run([*ffmpeg, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    found = np.frombuffer(raw.stdout, np.uint8).reshape(23, 64, 48, 3).astype(int)
    # In order and in the right colors, to compression.
    for k in (0, 9, 22):
        distance = [np.abs(frame - frames[k]).mean() for frame in found]
        assert int(np.argmin(distance)) == k
        assert distance[k] < 15


def test_a_gif_can_be_read_back_with_every_second_frame_and_the_last_ones(tmp_path: Path) -> None:
    path = tmp_path / "new" / "film.gif"
    write_gif(path, colored(20), fps=10)
    with Image.open(path) as gif:
        assert gif.size == (48, 64)
        assert gif.info["loop"] == 0
        found = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(gif)]
        assert gif.info["duration"] == 100
    assert len(found) == 10
    for k, frame in enumerate(found):
        assert np.abs(frame - colored(20)[2 * k]).mean() < 15
    write_gif(path, colored(50), max_frames=8, scale=0.5)
    with Image.open(path) as gif:
        assert gif.size == (24, 32)
        assert getattr(gif, "n_frames", 1) == 8
    write_gif(path, colored(1))
    with Image.open(path) as gif:
        assert getattr(gif, "n_frames", 1) == 1


# ---- an episode


class Blind(gym.Env[Any, Any]):
    """Cannot be drawn; ends after four steps and pays the number of the action."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(3)
    metadata: dict[str, Any] = {"render_modes": []}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        return np.full(1, self.steps, np.float32), float(action), self.steps == 4, False, {}


@pytest.fixture
def blind() -> Iterator[str]:
    gym.register("test/Blind-v0", entry_point=f"{__name__}:Blind")
    yield "test/Blind-v0"
    gym.registry.pop("test/Blind-v0")


def always(action: int) -> Policy:
    return Policy(lambda obs: np.full(len(obs), action))


def test_a_world_that_cannot_be_drawn_is_filmed_all_the_same(blind: str) -> None:
    policy = Policy(
        lambda obs: np.full(len(obs), 2), lambda obs: np.tile(np.array([1, 2, 3], np.float32), (len(obs), 1))
    )
    steps: list[int] = []
    film = play_episode(blind, EnvConfig(), policy, 1, on_step=steps.append)
    frames = film.frames
    assert film.total == 8.0 and in_words(film).endswith("return 8; test/Blind-v0 renders no picture (rgb_array)")
    assert len(frames) == 5  # one before each action, and the last
    assert steps == [1, 2, 3, 4]
    assert {frame.shape for frame in frames} == {(HEIGHT, HEIGHT + PANEL, 3)}
    assert is_color(frames[0], CHOSEN).any()


def test_probabilities_are_drawn_from_nothing_to_one_and_a_memory_hears_of_each_step_once(blind: str) -> None:
    begun: list[bool] = []
    asked: list[float] = []

    def probabilities(obs: np.ndarray) -> np.ndarray:
        asked.append(float(obs[0, 0]))
        return np.array([[0.25, 0.0, 0.75]], np.float32)

    def act(obs: np.ndarray) -> np.ndarray:
        raise AssertionError("a policy with a memory must be asked once for each step")

    policy = Policy(act, probabilities, "probability", lambda first: begun.extend(first.tolist()))
    frames, total, *_ = play_episode(blind, EnvConfig(), policy, 1)
    assert total == 8.0
    assert begun == [True, False, False, False] and asked == [0.0, 1.0, 2.0, 3.0]
    expected = draw(
        picture(HEIGHT, HEIGHT, 0), 0.0, 2, np.array([0.25, 0.0, 0.75]), [f"action {i}" for i in range(3)],
        (0.0, 1.0), "probability",
    )  # fmt: skip
    assert np.array_equal(frames[0], expected)
    assert not np.array_equal(
        expected,
        draw(
            picture(HEIGHT, HEIGHT, 0),
            0.0,
            2,
            np.array([0.25, 0.0, 0.75]),
            ["action 0", "action 1", "action 2"],
            (0.0, 1.0),
        ),
    )


def test_an_episode_of_cartpole_ends_where_the_pole_falls() -> None:
    film = play_episode("CartPole-v1", EnvConfig(), always(0), 3)
    frames, total = film.frames, film.total
    assert total == len(frames) - 1 and film.whole
    assert in_words(film) == f"video of one episode, return {total:g}"
    assert 8 <= total <= 11
    assert len({frame.tobytes() for frame in frames}) == len(frames)
    again, *_ = play_episode("CartPole-v1", EnvConfig(), always(0), 3)
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


def test_a_film_is_cut_at_its_length_and_epsilon_one_does_not_listen_to_the_policy(blind: str) -> None:
    film = play_episode("CartPole-v1", EnvConfig(), always(0), 3, max_steps=3)
    assert len(film.frames) == 4 and not film.whole
    said = "video of the first 3 steps of an episode that was cut off there, return so far 3"
    assert in_words(film) == said
    totals = {play_episode(blind, EnvConfig(), always(0), seed, epsilon=1.0)[1] for seed in range(6)}
    assert len(totals) > 1


def test_an_atari_game_is_filmed_in_color_with_fire_reset_left_to_the_agent() -> None:
    world = EnvConfig(fire_reset=True, max_pool=False, image_size=42)
    shapes = []

    def act(obs: np.ndarray) -> np.ndarray:
        shapes.append(obs.shape)
        return np.full(len(obs), 1)

    frames, *_ = play_episode("ALE/Breakout-v5", world, Policy(act), 1, max_steps=4)
    assert len(frames) == 5
    assert shapes[0] == (1, 4, 42, 42)
    assert frames[0].shape == (HEIGHT, 244 + PANEL, 3)
    game = frames[-1][:, :244]
    assert (game.max(axis=-1) != game.min(axis=-1)).any()  # not gray


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker warns first
def test_the_frames_of_a_video_have_one_size_though_the_environment_s_grow() -> None:
    def growing(step: int) -> np.ndarray:
        return np.full((40 + 7 * step, 30 - 5 * step, 4), 90, np.uint8)

    with odd_envs.registered(renders=growing) as name:
        film = play_episode(name, EnvConfig(), always(0), 1)
    assert len({frame.shape for frame in film.frames}) == 1 and len(film.frames) == 5
    assert (film.frames[-1][:, : film.frames[-1].shape[1] - PANEL] == 90).any()


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker warns first
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"renders": "+--+"}, "environment test/Odd-v0: its render() returned str"),
        ({"renders": OSError("no display")}, "environment test/Odd-v0, step 0: its render raised OSError: no display"),
        ({"raises_at": 1, "renders": picture(40, 30)}, "test/Odd-v0, step 1: its step raised ZeroDivisionError: the"),
    ],
    ids=["no picture", "render raises", "step raises"],
)
def test_why_there_is_no_video_is_one_line_and_the_environment_is_closed(settings: dict[str, Any], said: str) -> None:
    with odd_envs.registered(**settings) as name, pytest.raises(UserError) as caught:
        play_episode(name, EnvConfig(), always(0), 1)
    assert said in str(caught.value) and odd_envs.Odd.alive == 0
    assert no_video(caught.value) == f"no video: {caught.value}"
    assert no_video(ZeroDivisionError("a\nb")) == "no video: ZeroDivisionError: a b"


@pytest.mark.parametrize(("shape", "width"), [((3, 4_000), WIDEST), ((4_000, 3), 2)])
def test_pictures_out_of_proportion_fit_into_the_video(shape: tuple[int, int], width: int) -> None:
    frame = draw(picture(*shape), 0.0, None, None, [], (0.0, 1.0))
    assert frame.shape == (HEIGHT, width + PANEL, 3) and (frame[:, :width] == 90).any()


def test_actions_are_called_by_the_joysticks_words() -> None:
    pong = action_names("ALE/Pong-v5", spaces.Discrete(6), EnvConfig())
    assert pong == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
    assert action_names("CartPole-v1", spaces.Discrete(2), EnvConfig()) == ["left", "right"]
    assert action_names("Acrobot-v1", spaces.Discrete(3), EnvConfig()) == ["action 0", "action 1", "action 2"]
    assert action_names("Pendulum-v1", spaces.Box(-2, 2, (1,)), EnvConfig()) == []


def test_a_film_that_is_cut_short_by_a_full_disk_is_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(path: str, *_: Any, **__: Any) -> Iterator[None]:
        Path(path).write_bytes(b"\0\0\0\x20ftypisom")
        while True:
            yield

    monkeypatch.setattr("imageio_ffmpeg.write_frames", cut_short)
    with pytest.raises(SaveError, match="incomplete"):
        write_mp4(tmp_path / "film.mp4", [np.zeros((8, 8, 3), np.uint8)] * 3)
    assert not list(tmp_path.iterdir())


def test_a_film_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"could not save .*film\.mp4"):
        write_mp4(tmp_path / "file" / "film.mp4", [np.zeros((8, 8, 3), np.uint8)])

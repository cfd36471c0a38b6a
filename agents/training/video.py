"""Videos of an agent at play, with its action values or probabilities drawn beside the game."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import imageio_ffmpeg
import numpy as np
from gymnasium import spaces
from PIL import Image, ImageDraw, ImageFont

from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from agents.training.episode import guarded, moments
from agents.training.rendering import NoFrameError, fitted, rgb_frame
from envs import names
from envs.config import EnvConfig, UnknownEnvError
from envs.copies import close_quietly
from rl_gen_lab.cli.errors import SaveError, UserError
from rl_gen_lab.runs.files import save_errors, without_links

HEIGHT, WIDEST = 320, 1_280  # of a video and of the game in it, in pixels
PANEL = 220  # width of the panel beside the game, in pixels
MOST_BARS = 24  # what can be read below each other; of more actions those of the highest values are drawn
BACKGROUND, INK, BAR, CHOSEN = (24, 26, 31), (222, 226, 230), (86, 110, 142), (240, 160, 60)


class Overlay(Protocol):
    """Annotations of a video (`agents/perception/captions.py`)."""

    def annotate(self, image: np.ndarray) -> np.ndarray:
        """Return an image of the game (H, W, 3) uint8 with annotations drawn in."""

    def add_strip(self, frame: np.ndarray) -> np.ndarray:
        """Return a video frame with a strip of text appended below."""


class Film(NamedTuple):
    """Frames (HEIGHT, W, 3) uint8 of one episode, its return so far, whether it ended, and why it has no images."""

    frames: list[np.ndarray]
    total: float
    whole: bool
    unseen: str = ""


def play_episode(
    env_id: str,
    world: EnvConfig,
    policy: Policy,
    seed: int,
    *,
    epsilon: float = 0.0,
    max_steps: int = 3_000,
    on_step: Callable[[int], None] | None = None,
    overlay: Overlay | None = None,
) -> Film:
    """Record a video of one episode of at most `max_steps` agent steps.

    Frames are higher by the strip of an overlay. An environment without images is black, beside what the agent says.
    Raises: EnvStepError for what the environment raises, NoFrameError for what it renders.
    """
    world = without_fire_reset(world)
    env = make_env(env_id, world)
    seen = env.render_mode == "rgb_array"
    labels = action_names(env_id, env.action_space, world)
    frames: list[np.ndarray] = []
    size: tuple[int, ...] = ()
    limits = (np.inf, -np.inf)
    try:
        for moment in moments(env, env_id, policy, seed, epsilon=epsilon, max_steps=max_steps):
            image = guarded(env_id, len(frames), "render", env.render) if seen else np.zeros((HEIGHT, HEIGHT, 3))
            image = _named(env_id, image)
            size = size or image.shape[:2]
            image = fitted(image, *size)
            if policy.meaning == "probability":
                limits = (0.0, 1.0)
            elif moment.scores is not None:
                limits = min(limits[0], float(moment.scores.min())), max(limits[1], float(moment.scores.max()))
            image = image if overlay is None else overlay.annotate(image)
            drawn = draw(image, moment.total, moment.action, moment.scores, labels, limits, policy.meaning)
            frames.append(drawn if overlay is None else overlay.add_strip(drawn))
            if on_step is not None and len(frames) > 1:
                on_step(len(frames) - 1)
    finally:
        close_quietly(env)
    return Film(frames, moment.total, moment.ended, "" if seen else f"{env_id} renders no picture (rgb_array)")


def in_words(film: Film) -> str:
    """Return a caption for the video of `play_episode`."""
    unseen = f"; {film.unseen}" if film.unseen else ""
    if film.whole:
        return f"video of one episode, return {film.total:g}{unseen}"
    steps = f"the first {len(film.frames) - 1:,} steps of an episode that was cut off there"
    return f"video of {steps}, return so far {film.total:g}{unseen}"


def no_video(error: Exception) -> str:
    """Return one line that says why there is no video."""
    known = isinstance(error, UserError | UnknownEnvError)
    why = str(error) if known else f"{type(error).__name__}: {error}"
    return " ".join(f"no video: {why}".split())


def _named(env_id: str, rendered: Any) -> np.ndarray:
    """Return a rendered frame. Raises: NoFrameError naming the environment."""
    try:
        return rgb_frame(rendered)
    except NoFrameError as error:
        raise NoFrameError(f"environment {env_id}: {error}") from error


def action_names(env_id: str, space: spaces.Space[Any], world: EnvConfig) -> list[str]:
    """Return the names of the actions: those of the emulator for Atari games, numbers elsewhere."""
    if not isinstance(space, spaces.Discrete):
        return []
    if names.is_atari(env_id):
        env: Any = make_env(env_id, without_fire_reset(world))
        meanings = [str(meaning) for meaning in env.unwrapped.get_action_meanings()]
        close_quietly(env)
        return meanings
    known = {"CartPole-v1": ["left", "right"], "LunarLander-v3": ["none", "left engine", "main", "right engine"]}
    return known.get(env_id, [f"action {i}" for i in range(int(space.n))])


def draw(
    image: np.ndarray,
    total: float,
    action: Any,
    values: np.ndarray | None,
    labels: list[str],
    limits: tuple[float, float],
    meaning: Literal["Q-value", "probability"] = "Q-value",
) -> np.ndarray:
    """Return a video frame: the game, beside it the return so far and a bar for the value of each action.

    image: (H, W, 3) uint8; values: (A,) or None; limits: values at the two ends of a bar, for Q-values the smallest and
    largest of the episode so far; meaning: what the values are. Returns (HEIGHT, W', 3) uint8 with even W'.
    """
    height, width = image.shape[:2]
    fitting = min(max(round(width * HEIGHT / height) // 2 * 2, 2), WIDEST)
    if fitting == WIDEST:
        image = fitted(image, HEIGHT, WIDEST)
    scaled = Image.fromarray(image).resize((fitting, HEIGHT), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", (scaled.width + PANEL, HEIGHT), BACKGROUND)
    canvas.paste(scaled, (0, 0))
    drawing = ImageDraw.Draw(canvas)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    left = scaled.width + 14
    drawing.text((left, 12), f"return {total:g}", INK, font)
    if values is not None:
        best = "value of the state" if meaning == "Q-value" else "probability of the best"
        drawing.text((left, 36), f"{best} {values.max():.2f}", INK, small)
        low, high = limits
        shown = _bars(values, action)
        row = min(28, (HEIGHT - 80) // max(len(shown), 1))
        for place, i in enumerate(shown):
            y, value = 66 + place * row, values[i]
            chosen = action is not None and i == int(action)
            share = (float(value) - low) / (high - low) if high > low else 1.0
            share = share if math.isfinite(share) else 0.0  # of weights whose answers overflow
            label = labels[i] if i < len(labels) else str(i)
            drawing.text((left, y), label, CHOSEN if chosen else INK, small)
            end = left + 88 + round(share * (PANEL - 88 - 28))
            drawing.rectangle((left + 88, y + 2, max(end, left + 90), y + max(row - 8, 3)), CHOSEN if chosen else BAR)
    return np.asarray(canvas)


def _bars(values: np.ndarray, action: Any) -> list[int]:
    """Return the actions whose values are drawn, in their order: all, or the best and the one that was chosen."""
    if len(values) <= MOST_BARS:
        return list(range(len(values)))
    best = np.argsort(-values, kind="stable")[:MOST_BARS].tolist()
    if action is not None and int(action) not in best:
        best[-1] = int(action)
    return sorted(best)


def write_mp4(path: Path, frames: list[np.ndarray], fps: int = 30) -> None:
    """Write frames (H, W, 3) uint8 as H.264, with the ffmpeg that imageio-ffmpeg brings along.

    Raises: SaveError where no file can be made.
    """
    height, width = frames[0].shape[:2]
    with save_errors(path):  # before ffmpeg, which says it in many lines
        without_links(path.parent).mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        quality=None,
        macro_block_size=2,
        output_params=["-preset", "veryfast", "-crf", "26"],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()  # does not report a full disk
    if b"moov" not in path.read_bytes():  # the index of the file, which ffmpeg writes last
        path.unlink()
        raise SaveError(f"could not write {path}: the video is incomplete. Is the disk full?")


def write_gif(path: Path, frames: list[np.ndarray], fps: int = 15, max_frames: int = 240, scale: float = 1.0) -> None:
    """Write at most `max_frames` frames (the last ones), every second of them, as an animated GIF."""
    kept = [Image.fromarray(frame) for frame in frames[-2 * max_frames :: 2]]
    if scale != 1.0:
        kept = [image.resize((round(image.width * scale), round(image.height * scale))) for image in kept]
    # One palette for all frames: smaller files and no flicker.
    palette = kept[len(kept) // 2].quantize(64, method=Image.Quantize.MEDIANCUT)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in kept]
    without_links(path.parent).mkdir(parents=True, exist_ok=True)
    small[0].save(path, save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0, optimize=True)

"""Videos of an agent at play, with its action values or probabilities drawn beside the game."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
from gymnasium import spaces
from PIL import Image, ImageDraw, ImageFont

from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from envs import names
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.files import save_errors

HEIGHT = 320  # of a video, in pixels
PANEL = 220  # width of the panel beside the game, in pixels
BACKGROUND, INK, BAR, CHOSEN = (24, 26, 31), (222, 226, 230), (86, 110, 142), (240, 160, 60)


class Overlay(Protocol):
    """Annotations of a video (`agents/perception/captions.py`)."""

    def annotate(self, image: np.ndarray) -> np.ndarray:
        """Return an image of the game (H, W, 3) uint8 with annotations drawn in."""

    def add_strip(self, frame: np.ndarray) -> np.ndarray:
        """Return a video frame with a strip of text appended below."""


def play_episode(
    name: str,
    world: EnvConfig,
    policy: Policy,
    seed: int,
    *,
    epsilon: float = 0.0,
    max_steps: int = 3_000,
    on_step: Callable[[int], None] | None = None,
    overlay: Overlay | None = None,
) -> tuple[list[np.ndarray], float, bool]:
    """Return the frames of one episode of at most `max_steps` agent steps, its return so far, and whether it ended.

    Frames are (HEIGHT, W, 3) uint8, or higher by the strip of an overlay.
    """
    world = without_fire_reset(world)
    env = make_env(name, world)
    labels = action_names(name, env.action_space, world)
    exploration = Generators(seed).numpy("film")
    env.action_space.seed(seed)
    frames: list[np.ndarray] = []
    limits = (np.inf, -np.inf)
    obs, _ = env.reset(seed=seed)
    total, done = 0.0, False

    def frame(action: Any, values: np.ndarray | None) -> np.ndarray:
        image = _render(env) if overlay is None else overlay.annotate(_render(env))
        drawn = draw(image, total, action, values, labels, limits, policy.meaning)
        return drawn if overlay is None else overlay.add_strip(drawn)

    while not done and len(frames) < max_steps:
        batch = np.asarray(obs)[None]
        chosen, scores = policy.choose(batch, np.array([not frames]))
        action = chosen[0] if exploration.random() >= epsilon else env.action_space.sample()
        values = None if scores is None else scores[0]
        if policy.meaning == "probability":
            limits = (0.0, 1.0)
        elif values is not None:
            limits = (min(limits[0], float(values.min())), max(limits[1], float(values.max())))
        frames.append(frame(action, values))
        obs, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        done = terminated or truncated
        if on_step is not None:
            on_step(len(frames))
    if frames:
        frames.append(frame(None, None))
    env.close()
    return frames, total, done


def in_words(frames: list[np.ndarray], total: float, whole: bool) -> str:
    """Return a caption for the video of `play_episode`."""
    if whole:
        return f"video of one episode, return {total:g}"
    return f"video of the first {len(frames) - 1:,} steps of an episode that was cut off there, return so far {total:g}"


def _render(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the rendered environment, (H, W, 3) uint8; black where it cannot be rendered."""
    return np.asarray(env.render()) if env.render_mode == "rgb_array" else np.zeros((HEIGHT, HEIGHT, 3), np.uint8)


def action_names(name: str, space: spaces.Space[Any], world: EnvConfig) -> list[str]:
    """Return the names of the actions: those of the emulator for Atari games, numbers elsewhere."""
    if not isinstance(space, spaces.Discrete):
        return []
    env_id = names.resolve(name)
    if names.is_atari(env_id):
        env: Any = make_env(name, without_fire_reset(world)).unwrapped
        return [str(meaning) for meaning in env.get_action_meanings()]
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
    scaled = Image.fromarray(image).resize((round(width * HEIGHT / height) // 2 * 2, HEIGHT), Image.Resampling.NEAREST)
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
        row = min(28, (HEIGHT - 80) // max(len(values), 1))
        for i, value in enumerate(values):
            y = 66 + i * row
            chosen = action is not None and i == int(action)
            share = (float(value) - low) / (high - low) if high > low else 1.0
            label = labels[i] if i < len(labels) else str(i)
            drawing.text((left, y), label, CHOSEN if chosen else INK, small)
            end = left + 88 + round(share * (PANEL - 88 - 28))
            drawing.rectangle((left + 88, y + 2, max(end, left + 90), y + max(row - 8, 3)), CHOSEN if chosen else BAR)
    return np.asarray(canvas)


def write_mp4(path: Path, frames: list[np.ndarray], fps: int = 30) -> None:
    """Write frames (H, W, 3) uint8 as H.264, with the ffmpeg that imageio-ffmpeg brings along.

    Raises: SaveError where no file can be made.
    """
    height, width = frames[0].shape[:2]
    with save_errors(path):  # before ffmpeg, which says it in many lines
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
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
    path.parent.mkdir(parents=True, exist_ok=True)
    small[0].save(path, save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0, optimize=True)

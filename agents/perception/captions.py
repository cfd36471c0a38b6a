"""Captions over a video of a game: a sentence below every frame, and a heat map of the attention to each word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from agents.training.environments import make_env
from agents.training.episode import guarded
from agents.training.rendering import rgb_frame
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.caption import open_captioner
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.vocabulary import UNKNOWN, joined, words
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.vision.captioning.attention_map import HEAT, attention_grid, heat
from rl_gen_lab.vision.colors import BACKGROUND, INK

CAPTION_FRAMES = 3  # video frames between two captions
WORD_FRAMES = 6  # video frames for which a word is highlighted
STRIP_HEIGHT = 72  # of the text [px]
LINE_HEIGHT, MARGIN = 20, 10
LINES = STRIP_HEIGHT // LINE_HEIGHT
ELLIPSIS = "..."


class CaptionOverlay:
    """Captions a game in one phrasing; highlights one word after the other, with the attention to it."""

    def __init__(self, path: Path) -> None:
        """Load the captioner of a run folder. Raises: CheckpointError for a run of another task."""
        self.path, self.captioner = path, open_captioner(path)
        self.size = tuple(RunFolder.open(path).read_config("image_size")["image_size"])
        self.frames = 0
        self.words: list[str] = []
        self.highlighted = 0  # index of a word
        self._maps = np.zeros((0, 1, 1), np.float32)
        self._opening: list[int] = []

    def check(self, env_id: str, world: EnvConfig) -> None:
        """Raise ConfigError for an environment with images of another size."""
        env: gym.Env[Any, Any] = make_env(env_id, world)
        rendered: tuple[int, ...] = (0, 0)
        try:
            guarded(env_id, 0, "reset", lambda: env.reset(seed=0))
            if env.render_mode == "rgb_array":
                rendered = rgb_frame(guarded(env_id, 0, "render", env.render)).shape
        finally:
            close_quietly(env)
        if rendered[:2] != self.size:
            trained = f"{self.size[1]} x {self.size[0]}"
            raise ConfigError(
                f"{self.path} captions images of {trained}, those of {env_id} are {rendered[1]} x {rendered[0]}"
            )

    def annotate(self, image: np.ndarray) -> np.ndarray:
        """Caption an image (H, W, 3) uint8, and return it with the attention to the highlighted word drawn in."""
        if self.frames % CAPTION_FRAMES == 0:
            batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
            with torch.no_grad():
                (caption,) = self.captioner.generate(batch, self._opening)
            sentence = self.captioner.vocabulary.decode(caption.words)
            if not self._opening:
                self._opening = self._opening_of(sentence)
            self.words = words(sentence)
            self._maps = attention_grid(self.captioner, caption.attention)
        self.highlighted = self.frames // WORD_FRAMES % max(len(self.words), 1)
        self.frames += 1
        if not self.words or not self.captioner.network.uses_attention:
            return image
        return heat(image, self._maps[self.highlighted])

    def add_strip(self, frame: np.ndarray) -> np.ndarray:
        """Append the sentence below a video frame (H, W, 3) uint8: (H + STRIP_HEIGHT, W, 3)."""
        canvas = Image.new("RGB", (frame.shape[1], frame.shape[0] + STRIP_HEIGHT), BACKGROUND)
        canvas.paste(Image.fromarray(frame), (0, 0))
        draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
        placed = place_words(self.words, lambda text: draw.textlength(text, font), frame.shape[1] - 2 * MARGIN)
        for i, (word, x, line) in enumerate(placed):
            corner = (MARGIN + x, frame.shape[0] + 6 + line * LINE_HEIGHT)
            draw.text(corner, word, HEAT if i == self.highlighted else INK, font)
        return np.asarray(canvas)

    def _opening_of(self, sentence: str) -> list[int]:
        """Return the word ids of the phrase with which a sentence begins, up to its fact."""
        patterns = [pattern for patterns in self.captioner.grammar.values() for pattern in patterns]
        openings = [pattern.partition("{}")[0] for pattern in patterns]
        matching = [opening for opening in openings if sentence.startswith(opening.lower())]
        numbers = self.captioner.vocabulary.encode(max(matching, key=len, default=""))[1:-1]
        return [] if UNKNOWN in numbers else numbers  # a phrase that ends within a word


def place_words(
    text: Sequence[str], length_of: Callable[[str], float], width: float, lines: int = LINES
) -> list[tuple[str, float, int]]:
    """Break words into at most `lines` lines: each word with its x [px] and its line.

    What does not fit, words of the sentence or letters of a word, becomes an ellipsis. length_of: of a text [px].
    """
    shown = [_cut(word, length_of, width) for word in text]
    layout = word_layout(text, [length_of(word) for word in shown], length_of(" "), width)
    placed = [(word, x, line) for word, (x, line) in zip(shown, layout, strict=True) if line < lines]
    if len(placed) == len(shown):
        return placed
    while placed and placed[-1][1] + length_of(placed[-1][0] + ELLIPSIS) > width:
        placed.pop()
    word, x, line = placed.pop() if placed else ("", 0.0, 0)
    return [*placed, (word + ELLIPSIS, x, line)]


def _cut(word: str, length_of: Callable[[str], float], width: float) -> str:
    """Shorten a word that is wider than a line."""
    if length_of(word) <= width:
        return word
    kept = next((n for n in range(len(word) - 1, 0, -1) if length_of(word[:n] + ELLIPSIS) <= width), 1)
    return word[:kept] + ELLIPSIS


def word_layout(text: Sequence[str], lengths: Sequence[float], space: float, width: float) -> list[tuple[float, int]]:
    """Break words into lines: x [px] and line of each word. `joined` words and signs stay together, where they fit."""
    layout: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for i, length in enumerate(lengths):
        together = i > 0 and joined(text[i - 1], text[i])
        if i > 0 and not together:
            x += space
        if i > 0 and x + length > width + MARGIN * together:  # a sign may stand in the margin
            x, line = 0.0, line + 1
        layout.append((x, line))
        x += length
    return layout

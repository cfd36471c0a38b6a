"""A captioner that comments on a game: its sentence under every film frame, and a glow where it looks for each word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from agents.training.environments import make_env
from envs.config import EnvConfig
from rl_gen_lab.caption import open_captioner
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.vocabulary import joined, words
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.vision.captioning.attention_map import HEAT, attention_grid, heat
from rl_gen_lab.vision.colors import BACKGROUND, INK

EVERY = 3  # film frames between two looks
WORD_FRAMES = 6  # film frames that a word is lit for
STRIP = 72  # height of the text, in pixels
LINE, MARGIN = 20, 10


class Narrator:
    """Says what it sees, in one phrasing throughout; the words are lit in turn, with where they look."""

    def __init__(self, path: Path) -> None:
        """Raises: CheckpointError for a run that is no captioner."""
        self.path, self.caption = path, open_captioner(path)
        self.size = tuple(RunFolder.open(path).read_config()["image_size"])
        self.frames = 0
        self.said: list[str] = []
        self.lit = 0  # number of the word that is lit
        self._maps = np.zeros((0, 1, 1), np.float32)
        self._opening: list[int] = []

    def check(self, env_id: str, world: EnvConfig) -> None:
        """Raises: ConfigError for a world that shows other pictures than it knows."""
        env: gym.Env[Any, Any] = make_env(env_id, world)
        try:
            env.reset(seed=0)
            shown = np.asarray(env.render()).shape if env.render_mode == "rgb_array" else (0, 0)
        finally:
            env.close()
        if shown[:2] != self.size:
            wanted = f"{self.size[1]} x {self.size[0]}"
            raise ConfigError(f"{self.path} captions pictures of {wanted}, {env_id} shows {shown[1]} x {shown[0]}")

    def tell(self, picture: np.ndarray) -> np.ndarray:
        """Look at a picture (H, W, 3) uint8; gives what the film shows in its place, of the same size."""
        if self.frames % EVERY == 0:
            image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
            with torch.no_grad():
                (told,) = self.caption.generate(image[None], self._opening)
            sentence = self.caption.vocabulary.decode(told.words)
            if not self._opening:
                self._opening = self._begin(sentence)
            self.said = words(sentence)
            self._maps = attention_grid(self.caption, told.attention)
        self.lit = self.frames // WORD_FRAMES % max(len(self.said), 1)
        self.frames += 1
        return heat(picture, self._maps[self.lit]) if self.said and self.caption.network.uses_attention else picture

    def under(self, frame: np.ndarray) -> np.ndarray:
        """A film frame (H, W, 3) uint8 with the sentence below: (H + STRIP, W, 3)."""
        canvas = Image.new("RGB", (frame.shape[1], frame.shape[0] + STRIP), BACKGROUND)
        canvas.paste(Image.fromarray(frame), (0, 0))
        pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
        lengths = [pen.textlength(word, font) for word in self.said]
        places = laid_out(self.said, lengths, pen.textlength(" ", font), frame.shape[1] - 2 * MARGIN)
        for i, (word, (x, line)) in enumerate(zip(self.said, places, strict=True)):
            at = (MARGIN + x, frame.shape[0] + 6 + line * LINE)
            pen.text(at, word, HEAT if i == self.lit else INK, font)
        return np.asarray(canvas)

    def _begin(self, sentence: str) -> list[int]:
        """Numbers of the words of the phrase that a sentence begins with, up to its fact."""
        patterns = [pattern for each in self.caption.grammar.values() for pattern in each]
        fitting = [p.partition("{}")[0] for p in patterns if sentence.startswith(p.partition("{}")[0].lower())]
        return self.caption.vocabulary.encode(max(fitting, key=len, default=""))[1:-1]


def laid_out(said: Sequence[str], lengths: Sequence[float], space: float, width: float) -> list[tuple[float, int]]:
    """Where each word goes: x [px] and line. A word that does not fit begins a line; what `joined` stays together."""
    places: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for i, length in enumerate(lengths):
        together = i > 0 and joined(said[i - 1], said[i])
        if i > 0 and not together:
            x += space
            if x + length > width:
                x, line = 0.0, line + 1
        places.append((x, line))
        x += length
    return places

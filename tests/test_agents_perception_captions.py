"""Captions over a video: the sentence of a frame, the layout of its words, their highlighting, refused runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pong_models
import pytest

from agents import play
from agents.perception.captions import (
    CAPTION_FRAMES,
    LINE_HEIGHT,
    STRIP_HEIGHT,
    WORD_FRAMES,
    CaptionOverlay,
    place_words,
    word_layout,
)
from agents.rl.interfaces import Policy
from agents.training.video import HEIGHT, play_episode
from envs.config import EnvConfig
from rl_gen_lab.caption import open_captioner
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.vocabulary import sentence, words
from rl_gen_lab.vision.captioning.attention_map import HEAT
from rl_gen_lab.vision.colors import BACKGROUND


def test_words_are_laid_out_as_in_the_sentence_and_break_at_the_width() -> None:
    text = words("ab, cd 12.")
    assert text == ["ab", ",", "cd", "1", "2", "."]
    lengths = [20.0, 5.0, 20.0, 10.0, 10.0, 5.0]
    assert word_layout(text, lengths, 5, 1000) == [(0, 0), (20, 0), (30, 0), (55, 0), (65, 0), (75, 0)]
    assert word_layout(text, lengths, 5, 50) == [(0, 0), (20, 0), (30, 0), (0, 1), (10, 1), (20, 1)]


def test_a_sentence_that_does_not_fit_ends_in_an_ellipsis() -> None:
    def place(text: str, lines: int) -> list[tuple[str, float, int]]:
        return place_words(words(text), lambda part: 10.0 * len(part), 100, lines)

    whole = [("ab", 0, 0), ("cd", 30, 0), ("efgh", 60, 0), ("ij", 0, 1)]
    assert place("ab cd efgh ij", 2) == whole
    assert place("ab cd efgh ij", 1) == [("ab", 0, 0), ("cd...", 30, 0)]
    assert place("ab cd efgh ij kl mnop qr", 2) == [*whole[:3], ("ij", 0, 1), ("kl...", 30, 1)]
    assert place("ab supercalifragilistic", 2) == [("ab", 0, 0), ("superca...", 0, 1)]
    assert place("", 2) == []
    digits = place("7" * 60, 3)
    assert {line for _, _, line in digits} == {0, 1, 2} and all(x + 10 * len(part) <= 110 for part, x, _ in digits)
    assert digits[-1][0] == "7..."


def test_no_letter_is_drawn_below_the_strip_however_bad_the_captioner() -> None:
    overlay = CaptionOverlay(pong_models.run("caption"))
    for said in ("the ball is at the left and " * 12, "7" * 60, "floccinaucinihilipilification" * 4):
        overlay.words = words(said)
        strip = overlay.add_strip(np.zeros((100, 320, 3), np.uint8))[100:]
        inked = (np.abs(strip.astype(int) - BACKGROUND).sum(-1) > 60).nonzero()
        assert inked[0].max() < STRIP_HEIGHT - 4 and inked[1].max() < 320 - 2
        assert inked[0].max() > LINE_HEIGHT * (len(said) > 150), "more than one line"


@pytest.mark.slow
def test_a_frame_has_the_sentence_of_the_captioner_in_one_phrasing_with_one_word_highlighted() -> None:
    overlay = CaptionOverlay(pong_models.run("caption"))
    images = data.load(pong_models.folder()).splits["train"].images
    frames = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images]
    expected = open_captioner(pong_models.run("caption")).predict(images[:1])
    shown = overlay.annotate(frames[0])
    assert shown.shape == frames[0].shape and sentence(overlay.words) == expected[0]
    overlay.words, overlay._opening = ["the", "ball", "."], overlay._opening_of("the ball is at the left.")
    assert [overlay.captioner.vocabulary.words[i] for i in overlay._opening] == ["the", "ball", "is"]
    frame = overlay.add_strip(np.zeros((100, 200, 3), np.uint8))
    assert frame.shape == (100 + STRIP_HEIGHT, 200, 3)
    lit = (np.abs(frame[100:].astype(int) - HEAT).sum(-1) < 60).nonzero()[1]
    assert lit.min() > 0 and lit.max() < 40, "only the first word"
    overlay.frames = 2 * CAPTION_FRAMES * WORD_FRAMES  # a frame with a new caption
    overlay.annotate(frames[5])
    assert overlay.words[:3] == ["the", "ball", "is"]


def test_a_video_with_captions_is_higher_by_their_strip() -> None:
    overlay = CaptionOverlay(pong_models.run("caption"))
    policy = Policy(lambda obs: np.zeros(len(obs), np.int64))
    frames, *_ = play_episode("ALE/Pong-v5", EnvConfig(observe="objects"), policy, 1, max_steps=4, overlay=overlay)
    assert len(frames) == 5 and {frame.shape[0] for frame in frames} == {HEIGHT + STRIP_HEIGHT}
    assert overlay.frames == 5


def test_other_environments_and_other_runs_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a run of 'detect', not of 'caption'"):
        CaptionOverlay(pong_models.run("detect"))
    with pytest.raises(ConfigError, match=r"captions images of 160 x 210, those of CartPole-v1 are 600 x 400"):
        CaptionOverlay(pong_models.run("caption")).check("CartPole-v1", EnvConfig())
    with pytest.raises(SystemExit) as caught:
        play.main([str(pong_models.run("detect")), "--captioner", str(tmp_path)])
    assert caught.value.code == 2 and "which cannot be played" in capsys.readouterr().err

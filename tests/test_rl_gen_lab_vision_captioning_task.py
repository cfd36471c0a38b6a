"""Captions: eight images by heart, teacher forcing apart from generated words, exact resume."""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import vision_data
from caption_models import CPU, SMALL, captioned, task
from torch import Tensor

from envs import scenes
from rl_gen_lab import train
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.data.records import DataError
from rl_gen_lab.data.vocabulary import BEGIN, END, PADDING, UNKNOWN
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config as TrainConfig
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.captioning.network import Encoding, State
from rl_gen_lab.vision.captioning.task import CaptioningTask


@pytest.mark.slow
@pytest.mark.parametrize("model", ["attention", "plain"])
def test_eight_pictures_are_told_by_heart(model: str) -> None:
    caption = task(model)
    train = captioned().splits["train"]
    one = tuple(replace(label, captions=label.captions[:1]) for label in train.labels[:8])
    split = Split("train", train.images[:8], one)
    optimizer = torch.optim.Adam(caption.network.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
    for _ in range(120):
        losses = caption.loss(split, torch.arange(8))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        schedule.step()
    assert losses["word_cross_entropy"] < 0.05
    caption.network.eval()
    with torch.no_grad():
        found = caption.evaluate(split, lambda done: None)
    assert found.pop("cider") > 5 and found.pop("forcing_gap") == 0
    assert set(found.values()) == {1.0} and {"exact_match", "slot_accuracy", "all_slots", "bleu4"} <= found.keys()


def test_the_record_shows_by_how_much_teacher_forcing_flatters(monkeypatch: pytest.MonkeyPatch) -> None:
    caption = task("attention")
    label = replace(
        captioned().splits["val"].labels[0],
        captions=("Ball high, paddle low.",),
        facts={"ball": "high", "paddle": "low"},
    )
    sequence = caption.vocabulary.encode(label.captions[0])
    real = caption.network.step

    def stumbling(words: Tensor, encoding: Encoding, state: State) -> tuple[Tensor, Tensor, State]:
        """Knows what follows every word of the caption, but begins with its end."""
        _, weights, state = real(words, encoding, state)
        follows = dict(itertools.pairwise(sequence)) | {BEGIN: sequence[-2]}
        logits = torch.zeros(len(words), len(caption.vocabulary))
        for row, word in enumerate(words.tolist()):
            logits[row, follows.get(word, END)] = 9.0
        return logits, weights, state

    monkeypatch.setattr(caption.network, "step", stumbling)
    with torch.no_grad():
        one = Split("val", captioned().splits["val"].images[:1], (label,))
        found = caption.evaluate(one, lambda done: None)
        assert caption.predict(one.images) == ["."]
        assert caption.predict_forced(one.images, label.captions) == [". high, paddle low."]
    assert (found["slot_accuracy"], found["forced/slot_accuracy"], found["forcing_gap"]) == (0.0, 0.5, 0.5)


@pytest.mark.parametrize("without", ["val", "test"])
def test_a_split_without_facts_is_measured_by_exact_matches(without: str) -> None:
    dataset = captioned()
    split = dataset.splits[without]
    mute = Split(without, split.images, tuple(replace(label, facts={}) for label in split.labels))
    caption = CaptioningTask(CaptionConfig("plain", choices=SMALL, units=8), dataset, CPU)
    with torch.no_grad():
        found = caption.evaluate(mute, lambda done: None)
    assert "slot_accuracy" not in found and found["forcing_gap"] == found["forced/exact_match"] - found["exact_match"]
    dataset = replace(dataset, splits=dataset.splits | {without: mute})
    assert CaptioningTask(CaptionConfig("plain", choices=SMALL, units=8), dataset, CPU).target_metric == "exact_match"


def test_a_word_that_training_never_shows_is_measured_as_never_right() -> None:
    dataset = captioned()
    val = dataset.splits["val"]
    new = tuple(
        replace(label, captions=("Ball zenithal, paddle low.",), facts={"ball": "zenithal"}) for label in val.labels
    )
    odd = replace(dataset, splits=dataset.splits | {"val": Split("val", val.images, new)})
    settings = CaptionConfig("attention", choices=SMALL, units=8)
    torch.manual_seed(0)
    before = CaptioningTask(settings, dataset, CPU)
    torch.manual_seed(0)
    caption = CaptioningTask(settings, odd, CPU)
    assert before.notes == [] and caption.notes == [
        "2 of 2 val captions have words that no train caption has: zenithal"
    ]
    weights = caption.network.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in before.network.state_dict().items())
    with torch.no_grad():
        found = caption.evaluate(odd.splits["val"], lambda done: None)
        losses = caption.loss(odd.splits["val"], torch.arange(2))
        (forced,) = caption.predict_forced(val.images[:1], new[0].captions)
    assert found["exact_match"] == found["forced/exact_match"] == found["slot_accuracy"] == 0
    assert all(value == value for value in found.values()) and losses["loss"].isfinite(), "an unknown word is no target"
    assert "unk" not in forced and len(forced.split()) >= 1


def test_an_unknown_word_is_fed_as_no_word_at_all() -> None:
    caption = task("attention")
    images = captioned().splits["val"].images[:1]
    known = caption.vocabulary.encode("Ball high, paddle low.")
    padded, unknown = ([*known[:2], number, *known[3:]] for number in (PADDING, UNKNOWN))
    with torch.no_grad():
        by_padding, by_unknown = (caption.network(images, torch.tensor([row]))[0] for row in (padded, unknown))
    assert torch.equal(by_padding, by_unknown)


def test_an_exact_match_is_of_words_not_of_spaces() -> None:
    caption = task("plain")
    label = replace(captioned().splits["val"].labels[0], captions=(" Ball  high , paddle low .\n",))
    split = Split("val", captioned().splits["val"].images[:1], (label,))
    assert caption._fact_scores(["ball high, paddle low."], split)["exact_match"] == 1
    assert caption._fact_scores(["ball high, paddle."], split)["exact_match"] == 0


def test_facts_that_no_phrase_tells_are_not_asked_for() -> None:
    caption = task("plain")
    assert caption._stated({"ball": "high", "motion": "up"}) == {"ball": "high"}


def test_pictures_without_captions_are_refused() -> None:
    with pytest.raises(DataError, match="no captions"):
        CaptioningTask(CaptionConfig(), vision_data.dataset(), CPU)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = scenes.write(scenes.Config("Pong", frames=20, every=8, out=tmp_path / "pong"))

    def config(name: str) -> TrainConfig:
        return TrainConfig(
            task="caption",
            data=data,
            epochs=2,
            batch_size=4,
            checkpoint_every_updates=1,
            runs_dir=tmp_path / name,
            caption=CaptionConfig(choices=SMALL, units=16),
            wandb=WandbConfig("disabled"),
        )

    training_run.train(config("whole"))
    real, count = CaptioningTask.loss, itertools.count(1)

    def die(self: CaptioningTask, split: Split, indices: Tensor) -> dict[str, Tensor]:
        if next(count) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, split, indices)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(CaptioningTask, "loss", die)
        training_run.train(config("killed"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (killed,), (whole,) = (tmp_path / "killed").iterdir(), (tmp_path / "whole").iterdir()
    torch.manual_seed(99)
    train.main(["--resume", str(killed)])
    ends = [load_state(folder / "checkpoints" / "latest")["network"] for folder in (killed, whole)]
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())

"""Captions: eight pictures by heart with free-running words, attention against its formula, teacher forcing apart."""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import vision_data
from torch import Tensor

from envs import scenes
from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_maps
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.vocabulary import BEGIN, END
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config as TrainConfig
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.captioning.decoding import beam_search, greedy_search
from rl_gen_lab.vision.captioning.network import Captioner, Encoding, State
from rl_gen_lab.vision.captioning.task import CaptioningTask

CPU = torch.device("cpu")
SMALL = BackboneConfig(width=8, stages=2, depth=1, norm="batch")
GRAMMAR = {"ball": ["ball {}", "the ball is {}"], "paddle": ["paddle {}", "the paddle is {}"]}


def told() -> Dataset:
    """The pictures, with where their things are in words."""
    dataset = vision_data.dataset()
    splits = {}
    for name, split in dataset.splits.items():
        labels = []
        for label in split.labels:
            facts = {"ball": "gone"}
            for thing in label.objects:
                middle = (thing.box[1] + thing.box[3]) / 2
                facts[dataset.categories[thing.category]] = "high" if middle < 20 else "low"
            ball, paddle = facts["ball"], facts["paddle"]
            captions = (f"Ball {ball}, paddle {paddle}.", f"The paddle is {paddle}, the ball is {ball}.")
            labels.append(replace(label, facts=facts, captions=captions))
        splits[name] = Split(name, split.images, tuple(labels))
    return replace(dataset, splits=splits, grammar=GRAMMAR)


def task(model: str) -> CaptioningTask:
    torch.manual_seed(0)
    return CaptioningTask(CaptionConfig(model, choices=SMALL, units=48, look_everywhere=0.01), told(), CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["attention", "plain"])
def test_eight_pictures_are_told_by_heart(model: str) -> None:
    caption = task(model)
    train = told().splits["train"]
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
    assert losses["entropy"] < 0.05
    caption.network.eval()
    with torch.no_grad():
        found = caption.evaluate(split, lambda done: None)
    assert found.pop("cider") > 5 and found.pop("forcing_gap") == 0
    assert set(found.values()) == {1.0} and {"exact_match", "slot_accuracy", "all_slots", "bleu4"} <= found.keys()


def test_attention_is_a_distribution_over_positions_by_the_papers_formula() -> None:
    net = task("attention").network
    images = told().splits["train"].images[:2]
    with torch.no_grad():
        (features, keys), (hidden, cell) = net.encode(images)
        _, weights, (after, _) = net.step(torch.tensor([1, 1]), (features, keys), (hidden, cell))
        for row in range(2):
            energy = torch.stack(
                [net.score((net.by_feature(f) + net.by_state(hidden[row])).tanh())[0] for f in features[row]]
            )
            expected = energy.exp() / energy.exp().sum()
            torch.testing.assert_close(weights[row], expected)
        context = net.gate(hidden).sigmoid() * torch.einsum("bp,bpd->bd", weights, features)
        word = net.embed(torch.tensor([1, 1]))
        lstm = torch.nn.LSTM(net.lstm.input_size, net.lstm.hidden_size)
        lstm.load_state_dict({f"{name}_l0": value for name, value in net.lstm.state_dict().items()})
        out, _ = lstm(torch.cat((word, context), -1)[None], (hidden[None], cell[None]))
        torch.testing.assert_close(after, out[0])


def test_free_running_differs_from_teacher_forcing() -> None:
    net = task("attention").network.eval()
    images = told().splits["train"].images[:4]
    with torch.no_grad():
        sentences = greedy_search(net, images)
        for one in sentences:
            assert one.attention.shape[0] == len(one.words) and one.attention.sum(-1).allclose(torch.ones(()))
        written = torch.tensor([one.words[:8] for one in sentences])
        given = torch.cat((torch.ones(4, 1, dtype=torch.int64), written), 1)
        assert torch.equal(net(images, given)[0].argmax(-1), written), "its own words as the teacher's: the same"
        other = given.clone()
        other[:, 1:] = 5
        assert not torch.equal(net(images, other)[0][:, 1:], net(images, given)[0][:, 1:])


def test_the_record_shows_by_how_much_teacher_forcing_flatters(monkeypatch: pytest.MonkeyPatch) -> None:
    caption = task("attention")
    label = replace(
        told().splits["val"].labels[0], captions=("Ball high, paddle low.",), facts={"ball": "high", "paddle": "low"}
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
        one = Split("val", told().splits["val"].images[:1], (label,))
        found = caption.evaluate(one, lambda done: None)
        assert caption.predict(one.images) == ["."]
        assert caption.predict_forced(one.images, label.captions) == [". high, paddle low."]
    assert (found["slot_accuracy"], found["forced/slot_accuracy"], found["forcing_gap"]) == (0.0, 0.5, 0.5)


@pytest.mark.parametrize("without", ["val", "test"])
def test_a_split_without_facts_is_measured_by_exact_matches(without: str) -> None:
    dataset = told()
    split = dataset.splits[without]
    mute = Split(without, split.images, tuple(replace(label, facts={}) for label in split.labels))
    caption = CaptioningTask(CaptionConfig("plain", choices=SMALL, units=8), dataset, CPU)
    with torch.no_grad():
        found = caption.evaluate(mute, lambda done: None)
    assert "slot_accuracy" not in found and found["forcing_gap"] == found["forced/exact_match"] - found["exact_match"]
    dataset = replace(dataset, splits=dataset.splits | {without: mute})
    assert CaptioningTask(CaptionConfig("plain", choices=SMALL, units=8), dataset, CPU).target_metric == "exact_match"


def test_facts_that_no_phrase_tells_are_not_asked_for() -> None:
    caption = task("plain")
    assert caption._stated({"ball": "high", "motion": "up"}) == {"ball": "high"}


def tiny(seed: int = 3) -> Captioner:
    """Random weights, large enough that no sentence is a matter of course; words are pad, begin, end and two others."""
    torch.manual_seed(seed)
    net = Captioner(build_maps("resnet", (3, 16, 16), SMALL), 5, 8, True).eval()
    with torch.no_grad():
        for weight in (net.head.weight, net.lstm.weight_ih, net.lstm.weight_hh, net.embed.weight, net.start.weight):
            weight.copy_(0.5 * torch.randn_like(weight))
    return net


IMAGE = torch.arange(3 * 16 * 16).reshape(3, 16, 16).to(torch.uint8)


def every_sentence(net: Captioner, longest: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """All sentences of at most `longest` words, cut off ones included, with their log-probabilities."""
    for length in range(1, longest + 1):
        for words in itertools.product(range(5), repeat=length):
            if END in words[:-1] or (words[-1] != END and length < longest):
                continue
            logits, _ = net(IMAGE[None], torch.tensor([[BEGIN, *words]]))
            gains = logits[0].log_softmax(-1)
            yield words, float(sum(gains[i, word] for i, word in enumerate(words)))


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_a_beam_wide_enough_finds_the_best_of_all_sentences(power: float) -> None:
    net = tiny()
    with torch.no_grad():
        everything = list(every_sentence(net, 4))
        assert sum(math.exp(log_prob) for _, log_prob in everything) == pytest.approx(1, abs=1e-4)
        expected, log_prob = max(everything, key=lambda pair: pair[1] / len(pair[0]) ** power)
        found = beam_search(net, IMAGE, 5**4, power, max_words=4)
    assert tuple(found.words) == expected and found.log_prob == pytest.approx(log_prob, abs=1e-4)
    assert found.attention.shape == (len(expected), 16) and found.attention.sum(-1).allclose(torch.ones(()))


def test_one_beam_is_greedy_and_wider_ones_are_likelier() -> None:
    better = 0
    with torch.no_grad():
        for seed in range(12):
            net = tiny(seed)
            (greedy,) = greedy_search(net, IMAGE[None])
            one = beam_search(net, IMAGE, 1)
            assert one.words == greedy.words
            assert one.log_prob == pytest.approx(greedy.log_prob, abs=1e-3)
            torch.testing.assert_close(one.attention, greedy.attention)
            wide, narrow = (beam_search(net, IMAGE, width, 0.0, max_words=6) for width in (64, 1))
            assert wide.log_prob >= narrow.log_prob - 1e-5
            better += wide.log_prob > narrow.log_prob + 1e-3
    assert better, "the test shows nothing if greedy is always best"


def test_a_sentence_goes_on_from_the_words_it_was_given() -> None:
    net = tiny()
    with torch.no_grad():
        (free,), (begun,) = greedy_search(net, IMAGE[None]), greedy_search(net, IMAGE[None], (4, 3, 4))
        assert begun.words[:3] == [4, 3, 4]
        given = torch.tensor([[BEGIN, *begun.words]])
        assert net(IMAGE[None], given)[0].argmax(-1)[0, 3:].tolist() == begun.words[3:]
        assert free.words == greedy_search(net, IMAGE[None], free.words[:2])[0].words


def test_the_gradient_reaches_back_as_far_as_it_is_let() -> None:
    net = tiny()
    words = torch.tensor([[BEGIN, 3, 4, 4, 4, 4]])

    def reach(bptt_words: int) -> tuple[float, Tensor]:
        net.zero_grad()
        logits, _ = net(IMAGE[None], words, bptt_words)
        logits[0, -1, 3].backward()  # the last of five steps, which reads the fifth word
        assert net.embed.weight.grad is not None
        return float(net.embed.weight.grad[3].abs().sum()), logits.detach()

    (whole, said), (four, same), (two, _) = reach(0), reach(4), reach(2)
    assert whole > 0 and torch.equal(said, same), "the sentence is the same"
    assert four == 0 and two == 0, "word 3 was read at the second step, before the last cut"
    assert reach(3)[0] == 0 and reach(5)[0] == whole


def test_pictures_without_captions_are_refused() -> None:
    with pytest.raises(DataError, match="no captions"):
        CaptioningTask(CaptionConfig(), vision_data.dataset(), CPU)


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

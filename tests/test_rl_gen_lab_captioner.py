"""Captions: eight pictures by heart with free-running words, attention against its formula, teacher forcing apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import vision_data

from rl_gen_lab.backbones.choices import Choices
from rl_gen_lab.data import Dataset, Split
from rl_gen_lab.labels import DataError
from rl_gen_lab.vision.captioner import Caption, CaptionConfig

CPU = torch.device("cpu")
SMALL = Choices(width=8, stages=2, depth=1, norm="batch")
GRAMMAR = {"ball": ["ball {}", "the ball is {}"], "paddle": ["paddle {}", "the paddle is {}"]}


def told() -> Dataset:
    """The pictures, with where their things are in words."""
    dataset = vision_data.dataset()
    splits = {}
    for name, split in dataset.splits.items():
        labels = []
        for label in split.labels:
            facts = {"ball": "gone"}
            for thing in label.things:
                middle = (thing.box[1] + thing.box[3]) / 2
                facts[dataset.categories[thing.category]] = "high" if middle < 20 else "low"
            ball, paddle = facts["ball"], facts["paddle"]
            captions = (f"Ball {ball}, paddle {paddle}.", f"The paddle is {paddle}, the ball is {ball}.")
            labels.append(replace(label, facts=facts, captions=captions))
        splits[name] = Split(name, split.images, tuple(labels))
    return replace(dataset, splits=splits, grammar=GRAMMAR)


def task(model: str) -> Caption:
    torch.manual_seed(0)
    return Caption(CaptionConfig(model, choices=SMALL, units=48, look_everywhere=0.01), told(), CPU)  # type: ignore[arg-type]


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
        assert caption.evaluate(split, lambda done: None) == {"exact_match": 1, "slot_accuracy": 1, "all_slots": 1}


def test_attention_is_a_distribution_over_positions_by_the_papers_formula() -> None:
    net = task("attention").network
    images = told().splits["train"].images[:2]
    with torch.no_grad():
        features, (hidden, cell) = net.look(images)
        _, weights, (after, _) = net.step(torch.tensor([1, 1]), features, (hidden, cell))
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
        written, looks = net.write(images)
        assert looks.shape[:2] == written.shape and looks.sum(-1).allclose(torch.ones(()))
        given = torch.cat((torch.ones(4, 1, dtype=torch.int64), written), 1)
        assert torch.equal(net(images, given)[0].argmax(-1), written), "its own words as the teacher's: the same"
        other = given.clone()
        other[:, 1:] = 5
        assert not torch.equal(net(images, other)[0][:, 1:], net(images, given)[0][:, 1:])


def test_pictures_without_captions_are_refused() -> None:
    with pytest.raises(DataError, match="no captions"):
        Caption(CaptionConfig(), vision_data.dataset(), CPU)

"""The captioner: attention against its formula, teacher forcing, truncated gradients."""

from __future__ import annotations

from dataclasses import replace

import torch
import vision_data
from torch import Tensor

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_maps
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.vocabulary import BEGIN
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.captioning.network import Captioner
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


def tiny(seed: int = 3) -> Captioner:
    """Random weights, large enough that no sentence is a matter of course; words are pad, begin, end and two others."""
    torch.manual_seed(seed)
    net = Captioner(build_maps("resnet", (3, 16, 16), SMALL), 5, 8, True).eval()
    with torch.no_grad():
        for weight in (net.head.weight, net.lstm.weight_ih, net.lstm.weight_hh, net.embed.weight, net.start.weight):
            weight.copy_(0.5 * torch.randn_like(weight))
    return net


IMAGE = torch.arange(3 * 16 * 16).reshape(3, 16, 16).to(torch.uint8)


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

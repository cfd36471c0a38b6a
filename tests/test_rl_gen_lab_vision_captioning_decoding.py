"""Greedy decoding and beam search, against all sentences there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from caption_models import IMAGE, captioned, task, tiny

from rl_gen_lab.data.vocabulary import BEGIN, END
from rl_gen_lab.vision.captioning.decoding import beam_search, greedy_search
from rl_gen_lab.vision.captioning.network import Captioner


def test_free_running_differs_from_teacher_forcing() -> None:
    net = task("attention").network.eval()
    images = captioned().splits["train"].images[:4]
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

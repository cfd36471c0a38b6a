"""Sentences from a captioner that continues its own words: greedy decoding and beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rl_gen_lab.data.vocabulary import BEGIN, END
from rl_gen_lab.vision.captioning.network import Captioner

MAX_WORDS = 60  # of a sentence that never ends


@dataclass(frozen=True)
class Sentence:
    """A generated sentence. words: L numbers after the begin, the end included where it was reached.

    attention: (L, P) float32 for each word, sums to 1; log_prob: of all words together [nats].
    """

    words: list[int]
    attention: Tensor
    log_prob: float


def greedy_search(network: Captioner, images: Tensor, prefix: Sequence[int] = ()) -> list[Sentence]:
    """Generate a sentence for each image (B, C, H, W) uint8, always with the likeliest next word.

    prefix: words that every sentence begins with.
    """
    encoding, state = network.encode(images)
    word = torch.full((len(images),), BEGIN, device=images.device)
    ended = torch.zeros_like(word, dtype=torch.bool)
    words: list[Tensor] = []
    attention: list[Tensor] = []
    log_probs: list[Tensor] = []
    while len(words) < MAX_WORDS and not bool(ended.all()):
        logits, weights, state = network.step(word, encoding, state)
        is_given = len(words) < len(prefix)
        word = torch.full_like(word, prefix[len(words)]) if is_given else logits.argmax(-1)
        log_prob = logits.float().log_softmax(-1).gather(1, word[:, None])[:, 0]
        log_probs.append(torch.where(ended, 0.0, log_prob))
        ended |= word == END
        words.append(word)
        attention.append(weights.float())
    rows = torch.stack(words, 1).tolist()
    maps, totals = torch.stack(attention, 1), torch.stack(log_probs, 1).sum(1).tolist()
    lengths = [row.index(END) + 1 if END in row else len(row) for row in rows]
    return [
        Sentence(row[:length], maps[i, :length], totals[i])
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True))
    ]


def beam_search(
    network: Captioner, image: Tensor, width: int, length_power: float = 0.7, max_words: int = MAX_WORDS
) -> Sentence:
    """Find the best sentence for an image (C, H, W) uint8 among those of `width` beams; 1: `greedy_search`.

    At each step the `width` likeliest continuations over all beams are kept; a finished sentence does not free its
    beam. The search stops when no unfinished beam can become the best. Source: Graves 2012, "Sequence Transduction",
    algorithm 1; length normalization: Wu et al. 2016, section 7, in its simple form.
    """
    (features, keys), state = network.encode(image[None])
    word = torch.full((1,), BEGIN, device=image.device)
    scores = torch.zeros(1, device=image.device)
    words = torch.zeros(1, 0, dtype=torch.int64, device=image.device)
    attention = torch.zeros(1, 0, features.shape[1], device=image.device)
    best: Sentence | None = None
    best_value = -torch.inf

    def finish(beam: int, length: int) -> None:
        nonlocal best, best_value
        value = float(scores[beam]) / length**length_power
        if best is None or value > best_value:
            best, best_value = Sentence(words[beam].tolist(), attention[beam], float(scores[beam])), value

    for length in range(1, max_words + 1):
        encoding = (features.expand(len(word), -1, -1), keys.expand(len(word), -1, -1))
        logits, weights, state = network.step(word, encoding, state)
        total = scores[:, None] + logits.float().log_softmax(-1)
        scores, indices = total.flatten().topk(min(width, total.numel()))
        beams, word = indices // total.shape[1], indices % total.shape[1]
        words = torch.cat((words[beams], word[:, None]), 1)
        attention = torch.cat((attention[beams], weights[beams][:, None].float()), 1)
        ends = word == END
        for beam in ends.nonzero()[:, 0].tolist():
            finish(beam, length)
        width -= int(ends.sum())
        open_ = ~ends
        scores, word, words, attention = scores[open_], word[open_], words[open_], attention[open_]
        state = (state[0][beams][open_], state[1][beams][open_])
        if width == 0 or len(word) == 0 or float(scores.max()) / max_words**length_power < best_value:
            break
    for beam in range(len(word) if length == max_words else 0):  # cut off
        finish(beam, length)
    assert best is not None
    return best

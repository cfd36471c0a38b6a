"""A sentence about a frame: an LSTM writes it word by word and looks, softly, at one place or another for each word."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import SMALL_CHANNELS, build_for
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.vocabulary import facts_in, vocabulary, words
from rl_gen_lab.vision.captioning.metrics import bleu, cider
from rl_gen_lab.vision.smoothing import check_smoothing

EVALUATION_BATCH = 16
LONGEST = 60  # words of a caption that never ends
BEGIN, END = 1, 2  # as `Vocabulary` numbers them
State = tuple[Tensor, Tensor]  # of the LSTM: hidden and cell, (B, units) each
# Of P positions: features (B, P, D), and what attention compares them by (B, P, units / 2).
View = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class CaptionConfig:
    """Captions."""

    # attention: a weighted mean over positions, chosen for every word; plain: the mean over all positions.
    model: Literal["attention", "plain"] = "attention"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=3, depth=1, norm="batch"))
    # Units of the LSTM; embeddings of words and attention have half as many.
    units: int = 128
    # Weight of the regulariser that asks every position to be looked at about equally in a sentence. Small, because
    # looking sharply at one place for each word costs about 10: with 0.1 fewer facts were right of Breakout.
    look_everywhere: float = 0.001
    # Words that the LSTM's gradient reaches back (truncated back-propagation through time); 0: the whole sentence.
    bptt_words: int = 0
    # Share of a word's certainty that is spread over all words in the loss.
    label_smoothing: float = 0.0
    # Sentences that are followed at once when one is written; 1: the likeliest word each time.
    beam: int = 1
    # Of two sentences that one with the larger log-probability / words ^ length_power is better; 0 likes short ones.
    length_power: float = 0.7

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        if self.beam < 1 or self.units < 2 or min(self.look_everywhere, self.length_power, self.bptt_words) < 0:
            raise ConfigError("beam must be at least 1, units 2, look_everywhere, length_power and bptt_words 0")


@dataclass(frozen=True)
class Sentence:
    """A sentence as it was written. words: L numbers after the beginning, the end included where it was reached.

    looks: (L, P) float32, where each word looked, sums to 1; log_prob: of all words together [nats].
    """

    words: list[int]
    looks: Tensor
    log_prob: float


class Captioner(nn.Module):
    """Features of the backbone's last map, with their coordinates, into an LSTM through soft attention.

    Source: Xu et al. 2015, "Show, Attend and Tell", sections 3.1 and 4.2 (the gate of section 4.2.1 included).
    """

    places: Tensor

    def __init__(self, backbone: Convolutional, words: int, units: int, attention: bool) -> None:
        super().__init__()
        self.backbone, self.attention = backbone, attention
        last = backbone.feature_maps[-1]
        features, half = last.channels + 2, units // 2
        y, x = torch.linspace(-1, 1, last.height), torch.linspace(-1, 1, last.width)
        self.register_buffer("places", torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2))
        self.embed = nn.Embedding(words, half, padding_idx=0)
        self.start = nn.Linear(features, 2 * units)
        self.by_feature, self.by_state = nn.Linear(features, half), nn.Linear(units, half)
        self.score, self.gate = nn.Linear(half, 1), nn.Linear(units, features)
        self.lstm = nn.LSTMCell(half + features, units)
        self.head = nn.Linear(units + features + half, words)

    def look(self, images: Tensor) -> tuple[View, State]:
        """images: (B, C, H, W) uint8 -> what there is to be looked at, and the LSTM's first state."""
        found = self.backbone.maps(images)[-1].flatten(2).transpose(1, 2)
        found = torch.cat((found, self.places.expand(len(images), -1, -1)), -1)
        hidden, cell = self.start(found.mean(1)).chunk(2, -1)
        return (found, self.by_feature(found)), (hidden.tanh(), cell.tanh())

    def step(self, words: Tensor, view: View, state: State) -> tuple[Tensor, Tensor, State]:
        """words: (B,) int64 -> logits (B, V) of the next word, where it looked (B, P), the new state."""
        features, keys = view
        if self.attention:
            energy = self.score((keys + self.by_state(state[0])[:, None]).tanh())
            weights = energy[..., 0].softmax(-1)
        else:
            weights = torch.full_like(features[..., 0], 1 / features.shape[1])
        context = self.gate(state[0]).sigmoid() * torch.bmm(weights[:, None].to(features.dtype), features)[:, 0]
        word = self.embed(words)
        hidden, cell = self.lstm(torch.cat((word, context), -1), state)
        return self.head(torch.cat((hidden, context, word), -1)), weights, (hidden, cell)

    def forward(self, images: Tensor, words: Tensor, bptt_words: int = 0) -> tuple[Tensor, Tensor]:
        """Teacher forcing. words: (B, L) int64 -> logits (B, L - 1, V) of the words after, weights (B, L - 1, P).

        bptt_words: the state is passed on without its gradient after so many words; 0: never.
        """
        view, state = self.look(images)
        logits, looks = [], []
        for i, column in enumerate(words[:, :-1].unbind(1)):
            if i and bptt_words and i % bptt_words == 0:
                state = (state[0].detach(), state[1].detach())
            scores, weights, state = self.step(column, view, state)
            logits.append(scores)
            looks.append(weights)
        return torch.stack(logits, 1), torch.stack(looks, 1)

    def write(self, images: Tensor, begin: Sequence[int] = ()) -> list[Sentence]:
        """Free-running, the likeliest word each time. begin: words that every sentence has to begin with."""
        view, state = self.look(images)
        word = torch.full((len(images),), BEGIN, device=images.device)
        ended = torch.zeros_like(word, dtype=torch.bool)
        written: list[Tensor] = []
        looks: list[Tensor] = []
        gains: list[Tensor] = []
        while len(written) < LONGEST and not bool(ended.all()):
            scores, weights, state = self.step(word, view, state)
            given = len(written) < len(begin)
            word = torch.full_like(word, begin[len(written)]) if given else scores.argmax(-1)
            gain = scores.float().log_softmax(-1).gather(1, word[:, None])[:, 0]
            gains.append(torch.where(ended, 0.0, gain))
            ended |= word == END
            written.append(word)
            looks.append(weights.float())
        told = torch.stack(written, 1).tolist()
        where, log_probs = torch.stack(looks, 1), torch.stack(gains, 1).sum(1).tolist()
        lengths = [row.index(END) + 1 if END in row else len(row) for row in told]
        return [
            Sentence(row[:length], where[i, :length], log_probs[i])
            for i, (row, length) in enumerate(zip(told, lengths, strict=True))
        ]


def beam_search(
    network: Captioner, image: Tensor, width: int, length_power: float = 0.7, longest: int = LONGEST
) -> Sentence:
    """The best sentence about an image (C, H, W) uint8 among those that `width` beams meet; `Captioner.write` for 1.

    Each word keeps the likeliest continuations of all that are followed; one that ends leaves its beam to nobody. It
    stops when none that goes on could still become better. Source: Graves 2012, "Sequence Transduction", algorithm 1;
    length normalisation: Wu et al. 2016, section 7, in its simple form.
    """
    (features, keys), state = network.look(image[None])
    word = torch.full((1,), BEGIN, device=image.device)
    scores = torch.zeros(1, device=image.device)
    told = torch.zeros(1, 0, dtype=torch.int64, device=image.device)
    looks = torch.zeros(1, 0, features.shape[1], device=image.device)
    best: Sentence | None = None
    best_value = -torch.inf

    def take(row: int, length: int) -> None:
        nonlocal best, best_value
        value = float(scores[row]) / length**length_power
        if best is None or value > best_value:
            best, best_value = Sentence(told[row].tolist(), looks[row], float(scores[row])), value

    for length in range(1, longest + 1):
        view = (features.expand(len(word), -1, -1), keys.expand(len(word), -1, -1))
        logits, weights, state = network.step(word, view, state)
        total = scores[:, None] + logits.float().log_softmax(-1)
        scores, place = total.flatten().topk(min(width, total.numel()))
        row, word = place // total.shape[1], place % total.shape[1]
        told = torch.cat((told[row], word[:, None]), 1)
        looks = torch.cat((looks[row], weights[row][:, None].float()), 1)
        ends = word == END
        for index in ends.nonzero()[:, 0].tolist():
            take(index, length)
        width -= int(ends.sum())
        kept = ~ends
        scores, word, told, looks = scores[kept], word[kept], told[kept], looks[kept]
        state = (state[0][row][kept], state[1][row][kept])
        if width == 0 or len(word) == 0 or float(scores.max()) / longest**length_power < best_value:
            break
    for index in range(len(word) if length == longest else 0):  # cut off
        take(index, length)
    assert best is not None
    return best


class Caption:
    """The task. One of an image's captions, drawn anew each time, is what it should say."""

    goal = "slot_accuracy"

    def __init__(self, config: CaptionConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: DataError for a folder without captions or with words that training never shows; ConfigError."""
        self.config, self.device, self.grammar = config, device, dataset.grammar
        self.vocabulary = vocabulary(dataset)
        measured = [dataset.splits[name].labels for name in ("val", "test")]
        if not all(any(self.told(label.facts) for label in labels) for labels in measured):
            self.goal = "exact_match"  # somebody's own sentences have no facts that could be read from them
        backbone = build_for(config, tuple(dataset.splits["train"].images.shape[1:]))
        backbone.normalise(dataset.mean, dataset.std)
        make = functools.partial(Captioner, backbone, len(self.vocabulary), config.units, config.model == "attention")
        if config.units > SMALL_CHANNELS:
            refuse_weights(make, "the captioner", "fewer --caption.units")
        self.network = make().to(device)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy [nats a word], the mean over words, plus the regulariser (Xu et al. 2015, equation 14)."""
        chosen = []
        for index in indices.tolist():
            captions = split.labels[index].captions
            caption = captions[int(torch.randint(len(captions), ()))]
            chosen.append(torch.tensor(self.vocabulary.encode(caption)))
        words = nn.utils.rnn.pad_sequence(chosen, batch_first=True).to(self.device)
        logits, looks = self.network(split.images[indices].to(self.device), words, self.config.bptt_words)
        spoken = words[:, 1:] > 0
        smoothing = self.config.label_smoothing
        scores, wanted = logits.float().transpose(1, 2), words[:, 1:]
        entropy = F.cross_entropy(scores, wanted, ignore_index=0, label_smoothing=smoothing)
        seen = (looks.float() * spoken[..., None]).sum(1) * looks.shape[2] / spoken.sum(1, keepdim=True)
        uneven = (1 - seen).square().mean()
        weight = self.config.look_everywhere if self.config.model == "attention" else 0.0
        return {"loss": entropy + weight * uneven, "entropy": entropy.detach(), "uneven": uneven.detach()}

    @property
    def about(self) -> dict[str, Any]:
        """What a saved run has to say besides its configuration and weights."""
        return {"vocabulary": self.vocabulary.words, "grammar": self.grammar}

    def write(self, images: Tensor, begin: Sequence[int] = ()) -> list[Sentence]:
        """Sentences about images (B, C, H, W) uint8, free-running, by greedy or beam search as configured.

        begin: words that greedy sentences begin with.
        """
        images = images.to(self.device)
        if self.config.beam == 1 or begin:
            return self.network.write(images, begin)
        return [beam_search(self.network, image, self.config.beam, self.config.length_power) for image in images]

    def predict(self, images: Tensor) -> list[str]:
        """`write` as text."""
        return [self.vocabulary.decode(told.words) for told in self.write(images)]

    def forced(self, images: Tensor, captions: Sequence[str]) -> list[str]:
        """The likeliest next word after each true beginning of these captions: what teacher forcing makes of them."""
        rows = [torch.tensor(self.vocabulary.encode(caption)) for caption in captions]
        given = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        logits, _ = self.network(images.to(self.device), given)
        said = logits.argmax(-1).masked_fill(given[:, 1:] == 0, 0)
        return [self.vocabulary.decode(row) for row in said.tolist()]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Free-running: share of facts told rightly, of sentences without a wrong or missing fact, of exact matches
        with one of an image's captions, BLEU-4 and CIDEr-D.

        `forced/...`: the same of sentences in which every word was predicted after the true ones before it, as in
        training; `forcing_gap`: by how much that flatters `goal`.
        """
        said: list[str] = []
        forced: list[str] = []
        for start in range(0, len(split), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            said += self.predict(split.images[part])
            forced += self.forced(split.images[part], [label.captions[0] for label in split.labels[part]])
            on_image(len(said))
        found, led = self._judge(said, split), self._judge(forced, split)
        told, references = [words(one) for one in said], [[words(c) for c in one.captions] for one in split.labels]
        goal = self.goal if self.goal in found else "exact_match"  # another folder may tell no facts
        return (
            found
            | {"bleu4": bleu(told, references), "cider": cider(told, references)}
            | {f"forced/{name}": value for name, value in led.items()}
            | {"forcing_gap": led[goal] - found[goal]}
        )

    def _judge(self, said: Sequence[str], split: Split) -> dict[str, float]:
        right = facts = whole = exact = 0
        for sentence, label in zip(said, split.labels, strict=True):
            told = facts_in(sentence, self.grammar)
            right += sum(told.get(fact) == value for fact, value in self.told(label.facts).items())
            facts += len(self.told(label.facts))
            whole += told == self.told(label.facts)
            exact += sentence in [caption.lower() for caption in label.captions]
        found = {"exact_match": exact / len(split)}
        return found | ({"slot_accuracy": right / facts, "all_slots": whole / len(split)} if facts else {})

    def told(self, facts: dict[str, str]) -> dict[str, str]:
        """The facts that the grammar has phrases for: a folder without history does not tell of motion."""
        return {fact: value for fact, value in facts.items() if fact in self.grammar}

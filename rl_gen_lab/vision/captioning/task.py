"""The task of captioning: its loss, its sentences and its metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.maps import SMALL_CHANNELS, build_for
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.vocabulary import PADDING, describe_unknown, facts_in, vocabulary, words
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.captioning.decoding import Sentence, beam_search, greedy_search
from rl_gen_lab.vision.captioning.metrics import bleu, cider
from rl_gen_lab.vision.captioning.network import Captioner

EVALUATION_BATCH = 16


class CaptioningTask:
    """A caption of an image. The target is one of its captions, drawn anew for each update."""

    target_metric = "slot_accuracy"

    def __init__(self, config: CaptionConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: DataError for a folder where not every image has a caption; ConfigError."""
        self.config, self.device, self.grammar = config, device, dataset.grammar
        self.vocabulary = vocabulary(dataset)
        self.notes = describe_unknown(self.vocabulary, dataset.splits.values())
        evaluated = [dataset.splits[name].labels for name in ("val", "test")]
        if not all(any(self._stated(label.facts) for label in labels) for labels in evaluated):
            self.target_metric = "exact_match"  # captions without a grammar: no facts can be read from them
        backbone = build_for(config, tuple(dataset.splits["train"].images.shape[1:]))
        backbone.normalize(dataset.mean, dataset.std)
        make = functools.partial(Captioner, backbone, len(self.vocabulary), config.units, config.model == "attention")
        if config.units > SMALL_CHANNELS:
            refuse_weights(make, "the captioner", "fewer --caption.units")
        self.network = make().to(device)

    @property
    def run_metadata(self) -> dict[str, Any]:
        """The vocabulary and the grammar: a saved run needs them beside its configuration and its weights."""
        return {"vocabulary": self.vocabulary.words, "grammar": self.grammar}

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy [nats a word], averaged over words, plus the regularizer (Xu et al. 2015, equation 14)."""
        sentences = self._drawn(split, indices)
        return self._losses(split.images[indices].to(self.device), sentences)

    def losses_of_parts(self, split: Split, indices: Tensor, images: int) -> list[Callable[[], dict[str, Tensor]]]:
        """As `LearnsInParts`: each word of a batch counts alike, in whatever part it stands."""
        sentences = self._drawn(split, indices)
        words_of_a_part = (sentences[:, 1:] > PADDING).sum() * images / len(indices)
        return [
            functools.partial(self._losses, split.images[part].to(self.device), told, words_of_a_part)
            for part, told in zip(indices.split(images), sentences.split(images), strict=True)
        ]

    def _drawn(self, split: Split, indices: Tensor) -> Tensor:
        """Return a caption of each image, (B, L) int64, padded."""
        targets = []
        for index in indices.tolist():
            captions = split.labels[index].captions
            caption = captions[int(torch.randint(len(captions), ()))]
            targets.append(torch.tensor(self.vocabulary.encode(caption)))
        return nn.utils.rnn.pad_sequence(targets, batch_first=True).to(self.device)

    def _losses(self, images: Tensor, sentences: Tensor, words: Tensor | None = None) -> dict[str, Tensor]:
        """words: how many the cross-entropy is divided by, a scalar; None: as many as the sentences have."""
        logits, attention = self.network(images, sentences, self.config.bptt_words)
        next_words = sentences[:, 1:].clamp(min=PADDING)  # an unknown word is no target
        is_word = next_words > PADDING
        entropy = F.cross_entropy(
            logits.float().transpose(1, 2),
            next_words,
            ignore_index=PADDING,
            label_smoothing=self.config.label_smoothing,
        )
        if words is not None:
            entropy = entropy * (is_word.sum() / words)
        coverage = (attention.float() * is_word[..., None]).sum(1) * attention.shape[2] / is_word.sum(1, keepdim=True)
        unevenness = (1 - coverage).square().mean()
        doubly_stochastic_weight = self.config.look_everywhere if self.config.model == "attention" else 0.0
        loss = entropy + doubly_stochastic_weight * unevenness
        return {"loss": loss, "word_cross_entropy": entropy.detach(), "doubly_stochastic": unevenness.detach()}

    def generate(self, images: Tensor, prefix: Sequence[int] = ()) -> list[Sentence]:
        """Generate sentences for images (B, C, H, W) uint8, by greedy or beam search as configured.

        prefix: words that the sentences begin with; greedy.
        """
        images = images.to(self.device)
        if self.config.beam == 1 or prefix:
            return greedy_search(self.network, images, prefix)
        return [beam_search(self.network, image, self.config.beam, self.config.length_power) for image in images]

    def predict(self, images: Tensor) -> list[str]:
        """Generate sentences as text."""
        return [self.vocabulary.decode(sentence.words) for sentence in self.generate(images)]

    def predict_forced(self, images: Tensor, captions: Sequence[str]) -> list[str]:
        """Predict each next word from the true words before it (teacher forcing), as text.

        Captions may have words that training never shows: another word is predicted in their place.
        """
        rows = [torch.tensor(self.vocabulary.encode(caption)) for caption in captions]
        given = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        logits, _ = self.network(images.to(self.device), given)
        predicted = logits.argmax(-1).masked_fill(given[:, 1:] == PADDING, PADDING)
        return [self.vocabulary.decode(row) for row in predicted.tolist()]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Measure generated sentences: share of facts that are right, of sentences with all facts right, of exact
        matches with a caption of the image, BLEU-4 and CIDEr-D.

        `forced/...`: the same of sentences predicted by teacher forcing, as in training; `forcing_gap`: the advantage
        that it gives in the target metric.
        """
        generated: list[str] = []
        forced: list[str] = []
        for start in range(0, len(split), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            generated += self.predict(split.images[part])
            forced += self.predict_forced(split.images[part], [label.captions[0] for label in split.labels[part]])
            on_image(len(generated))
        free_scores, forced_scores = self._fact_scores(generated, split), self._fact_scores(forced, split)
        tokens = [words(sentence) for sentence in generated]
        references = [[words(caption) for caption in label.captions] for label in split.labels]
        # Another folder than that of the training may have no facts.
        metric = self.target_metric if self.target_metric in free_scores else "exact_match"
        return (
            free_scores
            | {"bleu4": bleu(tokens, references), "cider": cider(tokens, references)}
            | {f"forced/{name}": value for name, value in forced_scores.items()}
            | {"forcing_gap": forced_scores[metric] - free_scores[metric]}
        )

    def _fact_scores(self, sentences: Sequence[str], split: Split) -> dict[str, float]:
        right = total = all_right = exact = 0
        for sentence, label in zip(sentences, split.labels, strict=True):
            stated, true = facts_in(sentence, self.grammar), self._stated(label.facts)
            right += sum(stated.get(fact) == value for fact, value in true.items())
            total += len(true)
            all_right += stated == true
            exact += words(sentence) in [words(caption) for caption in label.captions]
        scores = {"exact_match": exact / len(split)}
        return scores | ({"slot_accuracy": right / total, "all_slots": all_right / len(split)} if total else {})

    def _stated(self, facts: dict[str, str]) -> dict[str, str]:
        """Keep the facts that the grammar has phrases for: captions of a folder without history state no motion."""
        return {fact: value for fact, value in facts.items() if fact in self.grammar}

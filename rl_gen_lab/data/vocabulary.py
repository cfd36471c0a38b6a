"""Captions as token numbers, the vocabulary of the training set, and the facts that a sentence states."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.dataset import Dataset

SPECIAL = ("<pad>", "<begin>", "<end>")
PADDING, BEGIN, END = range(3)  # their numbers


def words(caption: str) -> list[str]:
    """Split a sentence, in lower case, into words, digits and punctuation marks.

    Numbers are split into digits, so that ten tokens write them all.

    >>> words("The score is 12 to 5.")
    ['the', 'score', 'is', '1', '2', 'to', '5', '.']
    """
    return re.findall(r"\d|[^\W\d]+|[^\w\s]", caption.lower())


def sentence(tokens: Iterable[str]) -> str:
    """Join the tokens of `words` into a sentence, in lower case.

    >>> sentence(words("The score is 12 to 5."))
    'the score is 12 to 5.'
    """
    return re.sub(r"(?<=\d) (?=\d)| (?=[^\w\s])", "", " ".join(tokens))


def joined(before: str, word: str) -> bool:
    """Return whether two tokens of `words` join without a space: digits of a number, or a mark behind anything."""
    return (before.isdigit() and word.isdigit()) or not re.match(r"\w", word)


class Vocabulary:
    """The words of the training captions and their numbers; 0 is padding, 1 begins a caption, 2 ends it."""

    def __init__(self, captions: Iterable[str]) -> None:
        known = sorted({word for caption in captions for word in words(caption)})
        self.words = [*SPECIAL, *known]
        self.numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """Return the numbers of a caption, begin and end included. Raises DataError for words unknown to training."""
        tokens = words(caption)
        unknown = sorted({word for word in tokens if word not in self.numbers})
        if unknown:
            raise DataError(f"the caption {caption!r} has words that no training caption has: {', '.join(unknown)}")
        return [BEGIN, *(self.numbers[word] for word in tokens), END]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the sentence of these numbers, up to the first end."""
        tokens = []
        for number in numbers:
            if number == END:
                break
            if number > END:
                tokens.append(self.words[number])
        return sentence(tokens)


def vocabulary(dataset: Dataset) -> Vocabulary:
    """Build the vocabulary of the train split; every image must have a caption of these words. Raises DataError."""
    known = Vocabulary(caption for label in dataset.splits["train"].labels for caption in label.captions)
    if len(known) == len(SPECIAL):
        raise DataError(f"{dataset.path} has no captions to learn from: no annotations/captions_train.json")
    for name, split in dataset.splits.items():
        for label in split.labels:
            if not label.captions:
                raise DataError(f"{dataset.path}, {name}, {label.file.name}: the image has no caption")
            try:
                for caption in label.captions:
                    if not words(caption):
                        raise DataError(f"the caption {caption!r} has no words")
                    known.encode(caption)
            except DataError as error:
                raise DataError(f"{dataset.path}, {name}, {label.file.name}: {error}") from error
    return known


def facts_in(caption: str, phrases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Parse the facts that a caption states, fact -> value, by the phrases that captions are made of.

    phrases: patterns of each fact, with one {}. A clause of no phrase states nothing; a fact stated twice with
    different values has the value "".

    >>> facts_in("last was a hit, ball at the left.", {"ball": ["ball {}"], "event": ["last {}", "last was {}"]})
    {'event': 'a hit', 'ball': 'at the left'}
    """
    facts: dict[str, str] = {}
    for clause in re.split(r"[,.]", caption.lower()):
        matches = []
        for fact, patterns in phrases.items():
            for pattern in patterns:
                before, _, after = pattern.partition("{}")
                match = re.fullmatch(re.escape(before) + "(.+)" + re.escape(after), clause.strip())
                if match:
                    matches.append((len(match[1]), match[1], fact))
        if matches:
            _, value, fact = min(matches)  # the pattern that explains most of the clause
            facts[fact] = value if facts.get(fact, value) == value else ""
    return facts

"""Captions as numbers, and what a caption says: the vocabulary of the training set, and facts read from a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.dataset import Dataset

PADDING, BEGIN, END = "<pad>", "<begin>", "<end>"


def words(caption: str) -> list[str]:
    """A sentence in lower case as words, digits and punctuation marks: ten digits write every number.

    >>> words("The score is 12 to 5.")
    ['the', 'score', 'is', '1', '2', 'to', '5', '.']
    """
    return re.findall(r"\d|[^\W\d]+|[^\w\s]", caption.lower())


def sentence(tokens: Iterable[str]) -> str:
    """Undo `words`, in lower case.

    >>> sentence(words("The score is 12 to 5."))
    'the score is 12 to 5.'
    """
    return re.sub(r"(?<=\d) (?=\d)| (?=[^\w\s])", "", " ".join(tokens))


def joined(before: str, word: str) -> bool:
    """Whether two words of `words` stand without a space: digits of a number, and marks behind anything."""
    return (before.isdigit() and word.isdigit()) or not re.match(r"\w", word)


class Vocabulary:
    """Words of the training captions and their numbers; 0 is padding, 1 begins a caption, 2 ends it."""

    def __init__(self, captions: Iterable[str]) -> None:
        found = sorted({word for caption in captions for word in words(caption)})
        self.words = [PADDING, BEGIN, END, *found]
        self.numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """Numbers of a caption, with its begin and end. Raises DataError for words that training never shows."""
        tokens = words(caption)
        unknown = sorted({word for word in tokens if word not in self.numbers})
        if unknown:
            raise DataError(f"the caption {caption!r} has words that no training caption has: {', '.join(unknown)}")
        return [1, *(self.numbers[word] for word in tokens), 2]

    def decode(self, numbers: Iterable[int]) -> str:
        """The sentence of numbers, up to the first end."""
        tokens = []
        for number in numbers:
            if number == 2:
                break
            if number > 2:
                tokens.append(self.words[number])
        return sentence(tokens)


def vocabulary(dataset: Dataset) -> Vocabulary:
    """Words of the train split; checks that the others need no others and that no image lacks one. Raises DataError."""
    found = Vocabulary(caption for label in dataset.splits["train"].labels for caption in label.captions)
    if len(found) == 3:
        raise DataError(f"{dataset.path} has no captions to learn from: no annotations/captions_train.json")
    for name, split in dataset.splits.items():
        for label in split.labels:
            if not label.captions:
                raise DataError(f"{dataset.path}, {name}, {label.file.name}: the image has no caption")
            try:
                for caption in label.captions:
                    if not words(caption):
                        raise DataError(f"the caption {caption!r} has no words")
                    found.encode(caption)
            except DataError as error:
                raise DataError(f"{dataset.path}, {name}, {label.file.name}: {error}") from error
    return found


def facts_in(caption: str, phrases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What a caption says, fact -> value: the undoing of the phrases that made it. A clause of no phrase says nothing.

    phrases: patterns of each fact, with one {}. A fact told twice with different values has the value "".

    >>> facts_in("last was a hit, ball at the left.", {"ball": ["ball {}"], "event": ["last {}", "last was {}"]})
    {'event': 'a hit', 'ball': 'at the left'}
    """
    found: dict[str, str] = {}
    for clause in re.split(r"[,.]", caption.lower()):
        told = []
        for fact, patterns in phrases.items():
            for pattern in patterns:
                before, _, after = pattern.partition("{}")
                match = re.fullmatch(re.escape(before) + "(.+)" + re.escape(after), clause.strip())
                if match:
                    told.append((len(match[1]), match[1], fact))
        if told:
            _, value, fact = min(told)  # the pattern that explains most of the clause
            found[fact] = value if found.get(fact, value) == value else ""
    return found

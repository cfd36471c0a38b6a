"""Captions as token numbers, the vocabulary of the training set, and the facts that a sentence states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.records import DataError, short

SPECIAL = ("<pad>", "<begin>", "<end>")
PADDING, BEGIN, END = range(3)  # their numbers
# <unk>, a word that no training caption has: no number of the vocabulary, so that it is fed to a network as no word at
# all (`vision.captioning.network`), never its answer, and right for none.
UNKNOWN = -1
MAX_WORDS = 1_000  # of a caption: a book is none


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
        """Return the numbers of a caption, begin and end included; `UNKNOWN` for words that it does not have."""
        return [BEGIN, *(self.numbers.get(word, UNKNOWN) for word in words(caption)), END]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the sentence of these numbers, up to the first end; unknown words are left out."""
        tokens = []
        for number in numbers:
            if number == END:
                break
            if number > END:
                tokens.append(self.words[number])
        return sentence(tokens)


def vocabulary(dataset: Dataset) -> Vocabulary:
    """Build the vocabulary of the train split. Raises DataError unless every image has a caption, all of words."""
    known = Vocabulary(caption for label in dataset.splits["train"].labels for caption in label.captions)
    if len(known) == len(SPECIAL):
        raise DataError(f"{dataset.path} has no captions to learn from: no annotations/captions_train.json")
    for name, split in dataset.splits.items():
        for label in split.labels:
            if not label.captions:
                raise DataError(f"{dataset.path}, {name}, {label.file.name}: the image has no caption")
            for caption in label.captions:
                if not 0 < (length := len(words(caption))) <= MAX_WORDS:
                    problem = f"has {length:,} words, not up to {MAX_WORDS:,}" if length else "has no words"
                    raise DataError(
                        f"{dataset.path}, {name}, {label.file.name}: the caption {short(caption)} {problem}"
                    )
    return known


def describe_unknown(known: Vocabulary, splits: Iterable[Split]) -> list[str]:
    """Return a sentence for each split with captions of words that training never shows."""
    sentences = []
    for split in splits:
        captions = [caption for label in split.labels for caption in label.captions]
        new = Counter(word for caption in captions for word in words(caption) if word not in known.numbers)
        if new:
            count = sum(UNKNOWN in known.encode(caption) for caption in captions)
            some = ", ".join(word for word, _ in new.most_common(3)) + (", ..." if len(new) > 3 else "")
            sentences.append(
                f"{count:,} of {len(captions):,} {split.name} captions have words that no train caption has: {some}"
            )
    return sentences


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

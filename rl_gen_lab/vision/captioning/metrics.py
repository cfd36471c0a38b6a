"""How close sentences are to those of people: BLEU and CIDEr-D, over word lists (`data.vocabulary.words`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

Words = Sequence[str]
Counts = Counter[tuple[str, ...]]
LONGEST_GRAM = 4
SIGMA = 6.0  # words: how much longer or shorter a sentence may be before CIDEr-D punishes it


def grams(words: Words, n: int) -> Counts:
    """How often each sequence of n words occurs.

    >>> grams(["a", "b", "a", "b"], 2)
    Counter({('a', 'b'): 2, ('b', 'a'): 1})
    """
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(said: Sequence[Words], references: Sequence[Sequence[Words]], longest: int = LONGEST_GRAM) -> float:
    """BLEU of a corpus, in [0, 1], without smoothing: 0 where no sequence of `longest` words is right.

    said: one sentence an image; references: those of people, at least one an image; of two that are equally near in
    length the shorter one counts. Source: Papineni et al. 2002, "BLEU", sections 2.1 to 2.3.
    """
    right, made = [0] * longest, [0] * longest
    length = nearest = 0
    for words, others in zip(said, references, strict=True):
        length += len(words)
        nearest += min((len(other) for other in others), key=lambda other: (abs(other - len(words)), other))
        for n in range(1, longest + 1):
            counts, most = grams(words, n), Counter[tuple[str, ...]]()
            for other in others:
                most |= grams(other, n)
            right[n - 1] += sum((counts & most).values())
            made[n - 1] += sum(counts.values())
    if min(right, default=0) == 0:
        return 0.0
    precision = math.exp(sum(math.log(r / m) for r, m in zip(right, made, strict=True)) / longest)
    return precision * min(1.0, math.exp(1 - nearest / length))


def cider(said: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D, the mean over images, in [0, 10]. Words that the references of many images have count for little.

    Source: Vedantam et al. 2015, "CIDEr", equations 1 to 3 and section 6 (clipped counts, Gaussian penalty of length).
    """
    seen: Counts = Counter()
    for others in references:
        seen.update({gram for other in others for gram in _all_grams(other)})
    images = math.log(len(references)) if references else 0.0

    def weighted(words: Words, n: int) -> dict[tuple[str, ...], float]:
        return {gram: count * (images - math.log(max(seen[gram], 1))) for gram, count in grams(words, n).items()}

    total = 0.0
    for words, others in zip(said, references, strict=True):
        for n in range(1, LONGEST_GRAM + 1):
            mine = weighted(words, n)
            for other in others:
                theirs = weighted(other, n)
                product = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in mine.items() if gram in theirs)
                norms = math.hypot(*mine.values()) * math.hypot(*theirs.values())
                penalty = math.exp(-((len(words) - len(other)) ** 2) / (2 * SIGMA**2))
                total += penalty * product / norms / len(others) if norms > 0 else 0.0
    return 10 * total / LONGEST_GRAM / max(len(said), 1)


def _all_grams(words: Words) -> Iterator[tuple[str, ...]]:
    for n in range(1, LONGEST_GRAM + 1):
        yield from grams(words, n)

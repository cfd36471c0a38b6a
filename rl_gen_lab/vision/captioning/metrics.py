"""Similarity of sentences to references: BLEU and CIDEr-D, over lists of tokens (`data.vocabulary.words`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

Words = Sequence[str]
Counts = Counter[tuple[str, ...]]
MAX_N = 4  # length of the longest n-grams
SIGMA = 6.0  # words: CIDEr-D's tolerance for a sentence that is longer or shorter than a reference


def ngrams(words: Words, n: int) -> Counts:
    """Count the sequences of n words.

    >>> ngrams(["a", "b", "a", "b"], 2)
    Counter({('a', 'b'): 2, ('b', 'a'): 1})
    """
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(sentences: Sequence[Words], references: Sequence[Sequence[Words]], max_n: int = MAX_N) -> float:
    """BLEU of a corpus, in [0, 1], without smoothing: 0 where no sequence of `max_n` words is right.

    sentences: one for each image; references: at least one for each image; of two that are equally near in length the
    shorter one counts. Source: Papineni et al. 2002, "BLEU", sections 2.1 to 2.3.
    """
    right, total = [0] * max_n, [0] * max_n
    length = reference_length = 0
    for words, others in zip(sentences, references, strict=True):
        length += len(words)
        reference_length += min((len(other) for other in others), key=lambda n: (abs(n - len(words)), n))
        for n in range(1, max_n + 1):
            counts, limits = ngrams(words, n), Counter[tuple[str, ...]]()
            for other in others:
                limits |= ngrams(other, n)
            right[n - 1] += sum((counts & limits).values())
            total[n - 1] += sum(counts.values())
    if min(right, default=0) == 0:
        return 0.0
    precision = math.exp(sum(math.log(r / t) for r, t in zip(right, total, strict=True)) / max_n)
    return precision * min(1.0, math.exp(1 - reference_length / length))


def cider(sentences: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D, the mean over images, in [0, 10]. Words in the references of many images count for little.

    Source: Vedantam et al. 2015, "CIDEr", equations 1 to 3 and section 6 (clipped counts, Gaussian penalty of length).
    """
    document_counts: Counts = Counter()
    for others in references:
        document_counts.update({gram for other in others for gram in _all_ngrams(other)})
    log_images = math.log(len(references)) if references else 0.0

    def tf_idf(words: Words, n: int) -> dict[tuple[str, ...], float]:
        return {
            gram: count * (log_images - math.log(max(document_counts[gram], 1)))
            for gram, count in ngrams(words, n).items()
        }

    total = 0.0
    for words, others in zip(sentences, references, strict=True):
        for n in range(1, MAX_N + 1):
            vector = tf_idf(words, n)
            for other in others:
                reference = tf_idf(other, n)
                product = sum(
                    min(value, reference[gram]) * reference[gram] for gram, value in vector.items() if gram in reference
                )
                norms = math.hypot(*vector.values()) * math.hypot(*reference.values())
                penalty = math.exp(-((len(words) - len(other)) ** 2) / (2 * SIGMA**2))
                total += penalty * product / norms / len(others) if norms > 0 else 0.0
    return 10 * total / MAX_N / max(len(sentences), 1)


def _all_ngrams(words: Words) -> Iterator[tuple[str, ...]]:
    for n in range(1, MAX_N + 1):
        yield from ngrams(words, n)

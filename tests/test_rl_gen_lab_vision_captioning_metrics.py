"""BLEU and CIDEr-D: published figures, figures from paper and pencil, and second programs that work otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import bleu_score

from rl_gen_lab.vision.captioning.metrics import bleu, cider


def text(words: str) -> list[str]:
    return words.split()


# The example in NLTK's documentation of sentence_bleu and corpus_bleu, with the figures given there.
GUIDE = text("It is a guide to action which ensures that the military always obeys the commands of the party")
GUIDES = [
    text("It is a guide to action that ensures that the military will forever heed Party commands"),
    text(
        "It is the guiding principle which guarantees the military forces always being under the command of the Party"
    ),
    text("It is the practical guide for the army always to heed the directions of the party"),
]
READ = text("he read the book because he was interested in world history")
READS = [text("he was interested in world history because he read the book")]


def test_bleu_gives_the_published_figures() -> None:
    assert bleu([GUIDE], [GUIDES]) == pytest.approx(0.5045666840058485, abs=1e-12)
    assert bleu([GUIDE, READ], [GUIDES, READS]) == pytest.approx(0.5920778868801042, abs=1e-12)


def test_bleu_by_paper_and_pencil() -> None:
    # Papineni et al. 2002, example 2: "the" seven times, two of them in a reference.
    assert bleu([["the"] * 7], [[text("the cat is on the mat")]], 1) == pytest.approx(2 / 7)
    # Two words of four: both right, and e^(1 - 4/2) for being short.
    assert bleu([["a", "b"]], [[["a", "b", "c", "d"]]], 2) == pytest.approx(math.exp(-1))
    # As near in length is the one of three words and the one of five: the shorter counts, so nothing is taken off.
    assert bleu([list("abcd")], [[list("abcde"), list("abc")]], 1) == pytest.approx(1)
    assert bleu([list("abc")], [[list("abc")]]) == 0, "no sequence of four words"


def test_cider_by_paper_and_pencil() -> None:
    one, two = text("the ball is up now"), text("a paddle moves down there")
    assert cider([one, two], [[one], [two]]) == pytest.approx(10), "all right, and each image has its own words"
    assert cider([one, one], [[one], [one]]) == 0, "what every image says is worth nothing"
    assert cider([two, one], [[one], [two]]) == 0
    # Four of five words: cosine of tf-idf is 4 / sqrt(4 * 5) for single words, then 3 / sqrt(3 * 4), 2 / sqrt(2 * 3),
    # 1 / sqrt(1 * 2), with a penalty of exp(-1 / 72) for one word too few; the other image is all right.
    cosines = [math.sqrt(4 / 5), math.sqrt(3 / 4), math.sqrt(2 / 3), math.sqrt(1 / 2)]
    expected = 10 * (1 + math.exp(-1 / 72) * sum(cosines) / 4) / 2
    assert cider([one[:4], two], [[one], [two]]) == pytest.approx(expected)


def slow_bleu(said: list[list[str]], references: list[list[list[str]]]) -> float:
    """BLEU-4 with loops instead of multisets."""
    logs = []
    for n in (1, 2, 3, 4):
        right = made = 0
        for words, others in zip(said, references, strict=True):
            parts = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
            made += len(parts)
            for part in set(parts):
                allowed = max(sum(" ".join(o[i : i + n]) == part for i in range(len(o) - n + 1)) for o in others)
                right += min(parts.count(part), allowed)
        if right == 0:
            return 0.0
        logs.append(math.log(right) - math.log(made))
    c = sum(map(len, said))
    r = sum(sorted(map(len, o), key=lambda x: (abs(x - len(w)), x))[0] for w, o in zip(said, references, strict=True))
    return (1.0 if c > r else math.exp(1 - r / c)) * math.exp(sum(logs) / 4)


def slow_cider(said: list[list[str]], references: list[list[list[str]]]) -> float:
    """CIDEr-D with dense vectors over all sequences of n words."""
    scores = np.zeros(len(said))
    for n in (1, 2, 3, 4):

        def cut(words: list[str], n: int = n) -> list[str]:
            return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

        everything = sorted({p for group in (*references, said) for s in group for p in cut(s)})
        place = {part: i for i, part in enumerate(everything)}

        def vector(words: list[str], place: dict[str, int] = place, cut=cut) -> np.ndarray:  # type: ignore[no-untyped-def]
            found = np.zeros(len(place))
            for part in cut(words):
                found[place[part]] += 1
            return found

        df = np.zeros(len(everything))
        for group in references:
            df += np.minimum(sum(vector(s) for s in group), 1)
        idf = np.log(len(references)) - np.log(np.maximum(df, 1))
        for i, (words, group) in enumerate(zip(said, references, strict=True)):
            h = vector(words) * idf
            for other in group:
                r = vector(other) * idf
                norm = np.linalg.norm(h) * np.linalg.norm(r)
                if norm > 0:
                    close = np.exp(-((len(words) - len(other)) ** 2) / 72.0)
                    scores[i] += 10 * close * (np.minimum(h, r) @ r) / norm / 4 / len(group)
    return float(scores.mean())


sentences = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9)


@settings(max_examples=60)
@given(st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_both_agree_with_programs_that_work_otherwise(corpus: list[tuple[list[str], list[list[str]]]]) -> None:
    said, references = [one for one, _ in corpus], [others for _, others in corpus]
    assert bleu(said, references) == pytest.approx(slow_bleu(said, references), abs=1e-9)
    assert cider(said, references) == pytest.approx(slow_cider(said, references), abs=1e-9)


@settings(max_examples=60)
@given(st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_bleu_is_that_of_another_library(corpus: list[tuple[list[str], list[list[str]]]]) -> None:
    said = [one for one, _ in corpus]
    references = [sorted(others, key=len) for _, others in corpus]  # of two equally near the other takes the first
    theirs = bleu_score([" ".join(one) for one in said], [[" ".join(each) for each in others] for others in references])
    assert bleu(said, references) == pytest.approx(float(theirs), abs=1e-5), "float32 there"

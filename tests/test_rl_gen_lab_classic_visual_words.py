"""Bags of visual words: counts and tf-idf."""

from __future__ import annotations

import torch
from classic_numbers import tensor

from rl_gen_lab.classic.visual_words import count_words, inverse_frequency, tf_idf


def test_tf_idf_is_scikit_learns() -> None:
    counts = tensor("counts").double()
    assert (tf_idf(counts, inverse_frequency(counts)) - tensor("tfidf")).abs().max() < 1e-12


def test_each_part_of_the_grid_has_its_own_bag() -> None:
    words = torch.tensor([[[0, 1], [1, 1]]])
    assert count_words(words, 2).tolist() == [[1, 3]]
    assert count_words(words, 2, grid=2).tolist() == [[1, 0, 0, 1, 0, 1, 0, 1]]


def test_a_word_of_every_image_says_least() -> None:
    weights = inverse_frequency(torch.tensor([[1.0, 0], [2, 5]]))
    assert weights[0] == 1 and weights[1] > 1


def test_an_image_without_words_stays_finite() -> None:
    assert tf_idf(torch.zeros(1, 3), torch.ones(3)).eq(0).all()

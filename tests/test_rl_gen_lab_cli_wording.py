"""Numbers of things, and lists of them, in words."""

from __future__ import annotations

import pytest

from rl_gen_lab.cli.wording import count, listed, plural


def test_only_one_is_in_the_singular() -> None:
    assert [count(amount, "run") for amount in (0, 1, 2, 3_000)] == ["0 runs", "1 run", "2 runs", "3,000 runs"]
    assert [plural(amount, "seed") for amount in (0, 1, 2)] == ["seeds", "seed", "seeds"]


@pytest.mark.parametrize(
    ("words", "said"), [(["unet"], "unet"), (["patch", "fcn"], "patch and fcn"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_as_a_sentence(words: list[str], said: str) -> None:
    assert listed(words) == said

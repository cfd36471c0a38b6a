"""One thing is in the singular, any other number of them in the plural."""

from __future__ import annotations

from rl_gen_lab.cli.wording import count, plural


def test_only_one_is_in_the_singular() -> None:
    assert [count(amount, "run") for amount in (0, 1, 2, 3_000)] == ["0 runs", "1 run", "2 runs", "3,000 runs"]
    assert [plural(amount, "seed") for amount in (0, 1, 2)] == ["seeds", "seed", "seeds"]

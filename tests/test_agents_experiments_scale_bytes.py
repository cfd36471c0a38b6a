"""Traffic between actors and a learner, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.experiments.scale_bytes import Sizes, traffic_of

SIZES = Sizes(7_056, 60, 16, 850_000, 16, 8, 3.0)


def test_a_thousand_actors() -> None:
    traffic = traffic_of(1_000, 1_000, 2, SIZES)
    assert traffic.raw == pytest.approx(7_072) and traffic.packed == pytest.approx(76)
    assert traffic.to_actors == pytest.approx(1_700)
    assert traffic.to_hosts == pytest.approx(63 * 1.7)  # 62.5 hosts of 16
    assert traffic.tree_node == pytest.approx(8 * 1.7) and traffic.tree_levels == 2  # 8 + 64 hosts
    assert traffic.unpack_cores == pytest.approx(3)


@pytest.mark.parametrize(("actors", "levels"), [(1, 1), (128, 1), (129, 2), (1_152, 2), (1_153, 3)])
def test_levels_of_the_tree(actors: int, levels: int) -> None:
    assert traffic_of(actors, 1, 1, SIZES).tree_levels == levels


def test_a_chain_of_hosts_and_a_single_host() -> None:
    assert traffic_of(32, 1, 1, replace(SIZES, actors_per_host=1, fan_out=1)).tree_levels == 32
    one = traffic_of(2, 1_000, 4, SIZES)
    assert one.to_hosts == one.tree_node == pytest.approx(3.4)

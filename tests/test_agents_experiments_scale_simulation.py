"""The simulation of actors and a learner: nothing lost, nothing twice, lags as on paper, the same events again."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from agents.experiments.scale_simulation import Flow, Plan, Simulation, WhenFull, flow_of

# Ten actors whose chunks take a second, a batch of one chunk of each.
EVEN = Plan(10, 50.0, 50, 10, 0.33, 0.0, 0.21, 1_000)
# More is played than is learned from, and every time varies.
CROWDED = Plan(40, 100.0, 10, 32, 0.2, 0.15, 0.4, 64, "oldest", 0.4)


def simulated(plan: Plan, seconds: float, seed: int = 0, since: float = 0.0) -> tuple[Simulation, Flow]:
    simulation = Simulation(plan, seed)
    simulation.run(since)
    simulation.reset_shares()
    before = simulation.version
    simulation.run(since + seconds)
    return simulation, flow_of(simulation, since, before)


@pytest.mark.parametrize("when_full", ["oldest", "newest", "wait"])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_every_chunk_is_used_once_or_counted_as_dropped(when_full: WhenFull, spread: float) -> None:
    simulation, flow = simulated(replace(CROWDED, when_full=when_full, spread=spread), 60.0)
    left = [fate.chunk for fate in simulation.fates]
    there = [*left, *simulation.queue, *simulation.waiting]
    assert len(there) == simulation.made and max(Counter((c.actor, c.number) for c in there).values()) == 1
    numbers = defaultdict(list)
    for chunk in there:
        numbers[chunk.actor].append(chunk.number)
    assert all(sorted(found) == list(range(len(found))) for found in numbers.values()), "a chunk is missing"
    dropped = sum(fate.lag < 0 for fate in simulation.fates)
    assert (dropped > 0) == (when_full != "wait") and flow.dropped == pytest.approx(dropped / len(left))
    assert len(simulation.queue) <= CROWDED.queue_chunks
    batches = (len(left) - dropped) / CROWDED.batch_chunks
    assert batches in (simulation.version, simulation.version + 1)  # the last may be under way


def test_an_actor_s_chunks_are_used_in_order_and_its_weights_never_go_back() -> None:
    # Broadcasts overtake each other: every 0.05 s, on the way for 0.4 s with a wide spread.
    simulation, _ = simulated(replace(CROWDED, update_seconds=0.02, broadcast_seconds=0.05, spread=0.8), 60.0)
    by_actor = defaultdict(list)
    for fate in simulation.fates:
        by_actor[fate.chunk.actor].append(fate.chunk)
        assert fate.lag == -1 or 0 <= fate.lag <= simulation.version
    assert len(by_actor) == CROWDED.actors
    for chunks in by_actor.values():
        assert chunks == sorted(chunks, key=lambda chunk: chunk.number)
        versions = [chunk.version for chunk in chunks]
        assert versions == sorted(versions) and versions[-1] > versions[0]


@pytest.mark.parametrize(("update", "delay"), [(0.33, 0.21), (0.9, 0.25), (0.45, 3.2), (0.01, 0.0)])
def test_lags_are_those_derived_on_paper(update: float, delay: float) -> None:
    """Actor a begins its j-th chunk at j + a/N; it is learned from at j + 1 + (N-1)/N, after j updates. The weights of
    update k leave at k + (N-1)/N + update, so the newest that are there have k = j - ceil((N-1-a)/N + update + delay).
    """
    simulation, flow = simulated(replace(EVEN, update_seconds=update, delay_seconds=delay), 40.0)
    for fate in simulation.fates:
        chunk = fate.chunk
        behind = math.ceil((9 - chunk.actor) / 10 + update + delay)
        assert fate.lag == min(behind, chunk.number), chunk
    expected = sorted(math.ceil((9 - actor) / 10 + update + delay) for actor in range(10))
    assert flow.lag_median == expected[4] and flow.lag_95 == expected[9]
    assert flow.dropped == 0 and flow.idle == pytest.approx(1 - update, abs=0.06)


def test_a_slow_learner_uses_what_it_can_and_the_rest_is_dropped() -> None:
    plan = replace(CROWDED, spread=0.0)  # 4,000 steps/s are played, 320 / 0.2 s = 1,600 are used
    simulation, flow = simulated(plan, 100.0, since=10.0)
    assert flow.used_per_second == pytest.approx(1_600, rel=0.01) and flow.dropped == pytest.approx(0.6, abs=0.01)
    assert flow.idle == 0 and flow.bottleneck == "learner" and flow.updates_per_second == pytest.approx(5, rel=0.01)
    assert flow.queue > 0.7
    waits, held = simulated(replace(plan, when_full="wait"), 100.0, since=10.0)
    assert held.used_per_second == pytest.approx(1_600, rel=0.01) and held.dropped == 0
    assert held.waiting == pytest.approx(0.6, abs=0.02) and held.bottleneck == "learner"
    assert simulation.made > 2 * waits.made
    _, spare = simulated(replace(plan, update_seconds=0.01), 100.0, since=10.0)
    assert spare.used_per_second == pytest.approx(4_000, rel=0.01) and spare.bottleneck == "actors"
    assert spare.idle == pytest.approx(1 - 0.01 * 4_000 / 320, abs=0.01)


def test_a_longer_queue_makes_data_older_and_uses_no_more() -> None:
    flows = [simulated(replace(CROWDED, queue_chunks=32 * n), 60.0, since=20.0)[1] for n in (1, 4, 16)]
    lags = [flow.lag_median for flow in flows]
    assert lags[0] < lags[1] < lags[2] and lags[2] >= lags[0] + 4
    assert flows[2].used_per_second == pytest.approx(flows[0].used_per_second, rel=0.05)


def test_times_vary_as_asked_and_are_right_on_average() -> None:
    simulation, flow = simulated(Plan(200, 100.0, 10, 20, 0.001, 0.1, 0.1, 400, "oldest", 0.3), 50.0)
    assert flow.used_per_second == pytest.approx(200 * 100, rel=0.05)
    chunks = np.bincount([fate.chunk.actor for fate in simulation.fates], minlength=200)
    assert np.log(chunks).std() == pytest.approx(0.3, rel=0.15)


def test_seeds_reproduce_and_differ() -> None:
    first, again, other = (simulated(CROWDED, 20.0, seed)[0] for seed in (1, 1, 2))
    assert first.fates == again.fates and first.queue == again.queue and first.shares == again.shares
    assert first.fates != other.fates
    even = [simulated(EVEN, 20.0, seed)[0].fates for seed in (1, 2)]
    assert even[0] == even[1], "without spread nothing is drawn"


def test_time_in_two_pieces_is_the_same_time() -> None:
    whole, pieces = Simulation(CROWDED, 0), Simulation(CROWDED, 0)
    whole.run(10.0)
    for until in (1.3, 4.0, 10.0):
        pieces.run(until)
    assert whole.fates == pieces.fates and whole.made == pieces.made


def test_before_any_chunk_nothing_is_said_of_lags() -> None:
    _, flow = simulated(EVEN, 0.5)
    assert (flow.lag_median, flow.lag_95, flow.dropped, flow.used_per_second) == (-1, -1, 0, 0)


def test_a_queue_that_holds_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="never holds a batch of 10"):
        replace(EVEN, queue_chunks=9)

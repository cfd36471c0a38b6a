"""Lags, shares of the queue and of waiting, by hand."""

from __future__ import annotations

from agents.training.rollout_meter import RolloutMeter


def test_lags_and_shares_by_hand() -> None:
    now = [0.0]
    meter = RolloutMeter(lambda: now[0])
    assert meter.metrics() == {} and meter.totals() == {} and meter.bottleneck() == "no rollout was collected"
    meter.add([0, 2], learner_waited=1.0, actors_waited=[1.0, 2.0], actors_played=[3.0, 4.0], queued=0.5)
    now[0] = 4.0
    first = {
        "rollouts/lag_updates": 1.0,
        "rollouts/lag_updates_max": 2.0,
        "rollouts/queue_percent": 50.0,
        "rollouts/actors_wait_percent": 30.0,  # 3 of 10 s
        "rollouts/learner_waits_percent": 25.0,  # 1 of 4 s
        "rollouts/actors_replaced": 0,
        "rollouts/dropped_steps": 0,
    }
    assert meter.metrics() == first and meter.metrics() == {}
    assert meter.bottleneck() == "the learner is the bottleneck: actors wait for the learner 30 % of the time"
    meter.add([5], learner_waited=5.0, actors_waited=[0.0], actors_played=[10.0], queued=1.0)
    meter.replaced, meter.dropped_steps = 2, 64
    now[0] = 8.0
    since, all_ = meter.metrics(), meter.totals()
    assert (since["rollouts/lag_updates"], since["rollouts/queue_percent"]) == (5.0, 100.0)
    assert since["rollouts/learner_waits_percent"] == 125.0 and all_["rollouts/learner_waits_percent"] == 75.0
    assert all_["rollouts/lag_updates"] == 7 / 3 and all_["rollouts/actors_wait_percent"] == 15.0
    assert (all_["rollouts/actors_replaced"], all_["rollouts/dropped_steps"]) == (2, 64)
    assert meter.bottleneck() == "the actors are the bottleneck: the learner waits for them 75 % of the time"

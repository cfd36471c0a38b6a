"""Optimizers and schedules continue from their saved states."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rl_gen_lab.compute.optimizers import OptimizerConfig, Schedule, make_optimizer


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "plateau"])
def test_optimisers_and_schedules_are_saved_and_go_on(name: str, schedule: str) -> None:
    def made() -> tuple[torch.nn.Linear, torch.optim.Optimizer, Schedule]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 1)
        settings = OptimizerConfig(name=name, schedule=schedule, every_epochs=1)  # type: ignore[arg-type]
        optimizer = make_optimizer(network, settings)
        return network, optimizer, Schedule(optimizer, settings, 2, 4)

    def update(network: torch.nn.Linear, optimizer: torch.optim.Optimizer, rates: Schedule, times: int) -> None:
        for i in range(times):
            optimizer.zero_grad()
            network(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            rates.after_update()
            if i % 2:
                rates.after_validation(0.0)

    whole, stopped, resumed = made(), made(), made()
    update(*whole, times=8)
    update(*stopped, times=4)
    for before, after in zip(stopped[:2], resumed[:2], strict=True):
        after.load_state_dict(before.state_dict())  # type: ignore[attr-defined]
    resumed[2].load_state_dict(stopped[2].state_dict(), 4, 2)
    update(*resumed, times=4)
    assert torch.equal(whole[0].weight, resumed[0].weight)
    rate = whole[1].param_groups[0]["lr"]
    assert rate == resumed[1].param_groups[0]["lr"]
    assert (rate == 2e-3) == (schedule == "constant")


@pytest.mark.parametrize(
    ("schedule", "name", "value"),
    [
        *(("cosine", name, value) for name, value in (("T_max", 0), ("T_max", -3), ("eta_min", 1e9))),
        *(("cosine", name, value) for name, value in (("last_epoch", 10**9), ("_step_count", -1))),
        *((kind, name, [1.0, 1.0]) for kind in ("step", "cosine") for name in ("base_lrs", "_last_lr")),
        *(("step", name, value) for name, value in (("step_size", 0), ("gamma", 2.0))),
        *(("plateau", name, value) for name, value in (("factor", 2.0), ("last_epoch", 9), ("num_bad_epochs", 10**9))),
        *(
            (kind, "lr", value)
            for kind in ("constant", "step", "cosine", "plateau")
            for value in (0.0, 1e9, -1.0, 1.7e-3)
        ),
    ],
)
def test_another_schedule_or_learning_rate_is_refused(schedule: str, name: str, value: Any) -> None:
    network = torch.nn.Linear(3, 1)
    settings = OptimizerConfig(schedule=schedule, every_epochs=1)  # type: ignore[arg-type]

    def made() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = make_optimizer(network, settings)
        return optimizer, Schedule(optimizer, settings, 2, 40)

    optimizer, rates = made()
    for i in range(8):
        optimizer.step()
        rates.after_update()
        if i % 2:
            rates.after_validation(0.0)
    state, (resumed, again) = rates.state_dict(), made()
    resumed.load_state_dict(optimizer.state_dict())
    again.load_state_dict(dict(state), 8, 4)
    if name == "lr":
        for group in resumed.param_groups:
            group["lr"] = value
        state |= {"_last_lr": [value, value]} if "_last_lr" in state else {}
    else:
        state[name] = value
    with pytest.raises(ValueError, match=r"schedule|learning rate"):
        again.load_state_dict(dict(state), 8, 4)

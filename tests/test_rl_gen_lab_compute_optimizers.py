"""Optimizers and schedules continue from their saved states."""

from __future__ import annotations

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
    for before, after in zip(stopped, resumed, strict=True):
        after.load_state_dict(before.state_dict())
    update(*resumed, times=4)
    assert torch.equal(whole[0].weight, resumed[0].weight)
    rate = whole[1].param_groups[0]["lr"]
    assert rate == resumed[1].param_groups[0]["lr"]
    assert (rate == 2e-3) == (schedule == "constant")

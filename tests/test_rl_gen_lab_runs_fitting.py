"""Saved states held against fresh ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rl_gen_lab.runs.fitting import refuse_misfit, refuse_odd_optimizer

FRESH: dict[str, Any] = {
    "step": 0, "rate": 1.0, "on": False, "name": "a", "weights": torch.zeros(2, 3), "rows": np.zeros((0, 2)),
    "list": [1, 2], "tuple": (0.9, 0.99), "none": None, "empty": {}, "generator": {"state": 2**100},
}  # fmt: skip


def test_what_a_program_saved_itself_fits() -> None:
    refuse_misfit(FRESH, FRESH)
    later = {"step": 9, "rate": 2, "on": True, "rows": np.ones((7, 2)), "none": {"a": 1}, "empty": {"b": []}}
    refuse_misfit(FRESH | later | {"generator": {"state": 3}, "unknown": object()}, FRESH)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("step", value) for value in (0.5, "1", True, None, [], 2**64, torch.tensor(1))),
        *(("rate", value) for value in (float("nan"), float("inf"), "1", True)),
        *(("on", value) for value in (1, "yes")),
        *(("weights", value) for value in (torch.zeros(3, 2), torch.zeros(2, 3).double(), np.zeros((2, 3)), 5)),
        ("weights", torch.full((2, 3), float("nan"))),
        *(("rows", value) for value in (np.zeros((4, 3)), np.zeros(2), np.zeros((1, 2), np.int64))),
        *(("list", value) for value in ([1], (1, 2), ["a", 2], 5)),
        *(("tuple", value) for value in ([0.9, 0.99], (0.9,), (0.9, "a"))),
        ("generator", {"state": 2**128}),
        ("empty", 5),
    ],
)
def test_another_kind_or_shape_is_named(entry: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^'{entry}"):
        refuse_misfit(FRESH | {entry: value}, FRESH)


def test_a_missing_entry_is_named_unless_it_came_later() -> None:
    with pytest.raises(ValueError, match="'a/step' is missing"):
        refuse_misfit({"a": {}}, {"a": {"step": 1}})
    refuse_misfit({"a": {}, "seeds": {"numpy": {}}}, {"a": {"since_best": 1}, "seeds": {"numpy": {"new": {}}}})


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'network/layers\.0\.std' is 0"):
        refuse_misfit({"network": {"layers.0.std": torch.zeros(2)}}, {"network": {"layers.0.std": torch.ones(2)}})


def test_weights_that_no_training_makes_are_refused() -> None:
    fresh = {"conv.weight": torch.zeros(2), "rows": torch.zeros(2)}
    refuse_misfit(fresh | {"rows": torch.full((2,), 3e38)}, fresh)
    with pytest.raises(ValueError, match=r"'conv\.weight' is above 1e\+18"):
        refuse_misfit(fresh | {"conv.weight": torch.full((2,), 3e38)}, fresh)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("agent/moments.var", torch.tensor([-1.0]), "is below 0"),
        ("agent/statistics/var", np.array([-1.0]), "is below 0"),
        ("network/backbone.conv.0.scale", torch.tensor(-1.0), "is below 0"),
        ("agent/network/head.log_std", torch.tensor([-1e4]), "is beyond 80"),
        *(
            (f"network/{name}", torch.tensor([-1e30]), r"is above 1e\+18")
            for name in ("weights.0", "conv.0.mean", "anchors")
        ),
    ],
)
def test_statistics_and_constants_that_cannot_be_are_refused(entry: str, value: Any, said: str) -> None:
    def state(number: Any) -> dict[str, Any]:
        for name in reversed(entry.split("/")):
            number = {name: number}
        return number  # type: ignore[no-any-return]

    refuse_misfit(state(abs(value) * 0 + 5), state(abs(value)))
    with pytest.raises(ValueError, match=f"'{entry}' {said}"):
        refuse_misfit(state(value), state(abs(value)))


def made(kind: str) -> torch.optim.Optimizer:
    """An optimizer of two groups, with gradients."""
    network = nn.Linear(3, 2)
    groups = [{"params": [network.weight]}, {"params": [network.bias], "weight_decay": 0.0}]
    optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)(groups, 0.1, weight_decay=0.01)
    network(torch.ones(1, 3)).sum().backward()
    return optimizer


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW"])
def test_moments_of_every_optimizer_fit_as_they_were_saved_and_no_others(kind: str) -> None:
    trained = made(kind)
    trained.step()
    saved = trained.state_dict()
    refuse_odd_optimizer(saved, made(kind), 1)
    refuse_odd_optimizer(made(kind).state_dict(), made(kind), 0)
    odd: list[dict[str, Any]] = [{"state": {5: {}}}, {"state": {"a": {}}}, {"state": {0: 5}}, {"state": {0: {"x": 1}}}]
    odd += [{"state": {}}] * bool(saved["state"])
    moments = saved["state"].get(0, {})
    for name, value in moments.items():
        if isinstance(value, torch.Tensor):
            changes = (5, None if "dam" in kind else "x", value[None], torch.full_like(value, float("nan")))
            odd += [{"state": {0: moments | {name: change}}} for change in (*changes, value.double(), value.half())]
    if "step" in moments:
        odd += [{"state": {0: moments | {"step": torch.tensor(value)}}} for value in (1e38, 0.5, -1.0)]
    for change in odd:
        with pytest.raises(ValueError, match="the optimizer"):
            refuse_odd_optimizer(saved | change, made(kind), 1)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        *((0, name, value) for name, value in (("params", [1]), ("params", [-1]), ("params", [10**14]))),
        *((1, "params", value) for value in ([0], [])),
        *(
            (0, name, value)
            for name, value in (("maximize", True), ("amsgrad", True), ("eps", 0.0), ("betas", (0.9, 1.0)))
        ),
        *((1, name, value) for name, value in (("weight_decay", 1e15), ("foreach", "x"), ("fused", 10**30))),
        *((0, name, True) for name in ("foreach", "fused", "capturable", "differentiable")),
    ],
)
def test_settings_of_an_optimizer_are_those_of_the_program(group: int, name: str, value: Any) -> None:
    saved = made("Adam").state_dict()
    saved["param_groups"][group][name] = value
    with pytest.raises(ValueError, match=f"'param_groups/{group}/{name}' is"):
        refuse_odd_optimizer(saved, made("Adam"), 0)
    own = made("Adam").state_dict()
    own["param_groups"][0]["lr"] = 5.0  # of another moment
    del own["param_groups"][0]["decoupled_weight_decay"]  # as torch saved it before it had this
    refuse_odd_optimizer(own, made("Adam"), 0)

"""Whether the state in a checkpoint fits the program that is to go on with it, before anything is loaded or written.

torch and dictionaries take over what they are given: a learning rate that is text, a counter that is a list. That shows
hours later, in the middle of a run. So a saved state is held against the state of what was just made anew.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rl_gen_lab.runs import weights
from rl_gen_lab.runs.reading import shortened

LARGEST, MOST_OF_A_GENERATOR = 2**64, 2**128  # numbers, and the state of a random generator

MOST_UPDATES, LARGEST_LOG_STD = 2**53, 80  # of an optimizer; of a policy, whose exponential is still a number
SCHEDULED = ("lr", "initial_lr")

# Names that earlier versions, also of torch, did not save, or only on a GPU; what may lack them says so itself.
LATER = ("since_best", "greedy_gap", "judged", "random_cuda", "random_others", "processes", "decoupled_weight_decay")


def refuse_misfit(saved: Any, fresh: Any, where: str = "") -> None:
    """Raise ValueError naming the first entry of a saved state that is of another kind than its fresh counterpart.

    Tensors and arrays must have the same type and, except for their first dimension where the fresh one has none or one
    (rows that were collected), the same shape, without NaN and infinity where the fresh one has none. What is None or
    empty in the fresh state is checked by its owner.
    """
    if fresh is None:
        return
    if isinstance(fresh, dict):
        if not isinstance(saved, dict):
            raise ValueError(f"'{where}' is {_kind(saved)}, not a table")
        for key, item in fresh.items():
            entry = f"{where}/{key}" if where else str(key)
            if key in saved:
                refuse_misfit(saved[key], item, entry)
            elif key not in LATER and not entry.startswith("seeds/"):  # a generator in use now need not have been then
                raise ValueError(f"'{entry}' is missing")
    elif isinstance(fresh, list | tuple):
        if not isinstance(saved, type(fresh)) or (fresh and len(saved) != len(fresh)):
            raise ValueError(f"'{where}' is {_kind(saved)}, not {_kind(fresh)}")
        for i, item in enumerate(fresh):
            refuse_misfit(saved[i], item, f"{where}/{i}")
    elif isinstance(fresh, Tensor | np.ndarray):
        if isinstance(saved, float) and isinstance(fresh, np.ndarray) and fresh.ndim == 0:
            saved = np.asarray(saved)  # numpy makes numbers of arrays without dimensions
        same = isinstance(saved, Tensor if isinstance(fresh, Tensor) else np.ndarray) and saved.dtype == fresh.dtype
        free = 1 if fresh.ndim and fresh.shape[0] <= 1 else 0
        if not same or saved.ndim != fresh.ndim or tuple(saved.shape[free:]) != tuple(fresh.shape[free:]):
            raise ValueError(f"'{where}' is {_kind(saved)}, not {_kind(fresh)}")
        if _is_finite(fresh) and not _is_finite(saved):
            raise ValueError(f"'{where}' is not finite")
        if saved.size if isinstance(saved, np.ndarray) else saved.numel():
            _refuse_no_weights(saved, where)
    elif not _same_kind(saved, fresh):
        raise ValueError(f"'{where}' is {_kind(saved)}, not {_kind(fresh)}")


def _refuse_no_weights(saved: Tensor | np.ndarray, where: str) -> None:
    """Raise ValueError for numbers of a network that no training makes."""
    name = where.split("/")[-1].split(".")[-1]
    if name in weights.NEVER_NEGATIVE and saved.min() < 0:
        raise ValueError(f"'{where}' is below 0")
    if name in weights.NEVER_ZERO and bool((saved == 0).any()):
        raise ValueError(f"'{where}' is 0")
    of_network = where.startswith("network/") or where.endswith(("weight", "bias"))
    if of_network and max(float(saved.max()), -float(saved.min())) > weights.LARGEST:
        raise ValueError(f"'{where}' is above {weights.LARGEST:g}")
    if where.endswith("log_std") and max(float(saved.max()), -float(saved.min())) > LARGEST_LOG_STD:
        raise ValueError(f"'{where}' is beyond {LARGEST_LOG_STD}")


def _is_finite(values: Tensor | np.ndarray) -> bool:
    if isinstance(values, Tensor):
        return not values.is_floating_point() or bool(values.isfinite().all())
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _same_kind(saved: Any, fresh: Any) -> bool:
    if isinstance(fresh, bool | np.bool_):
        return isinstance(saved, bool)
    if isinstance(fresh, int | float | np.number):
        numbers = (int,) if isinstance(fresh, int | np.integer) else (int, float)
        largest = LARGEST if abs(float(fresh)) < LARGEST else MOST_OF_A_GENERATOR
        return isinstance(saved, numbers) and not isinstance(saved, bool) and abs(saved) < largest  # NaN is not
    return type(saved) is type(fresh)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return shortened(value)


def refuse_impossible_actions(saved: Any, count: int | None) -> None:
    """Raise ValueError for stored actions that are not from 0 to below `count`; None where actions have no number."""
    if not isinstance(saved, dict) or count is None:
        return
    for key, value in saved.items():
        refuse_impossible_actions(value, count)
        stored = key == "action" and isinstance(value, Tensor | np.ndarray) and 0 not in value.shape
        if stored and not 0 <= int(value.min()) <= int(value.max()) < count:
            raise ValueError(f"a stored action is not from 0 to {count - 1}")


def refuse_odd_optimizer(
    saved: dict[str, Any], optimizer: torch.optim.Optimizer, updates: int, fresh: dict[str, Any] | None = None
) -> None:
    """Raise ValueError for the state of an optimizer of other parameters or settings, or that has made no such updates.

    The learning rate is left to whoever sets it. updates: made so far. fresh: the state of `optimizer` as it would be
    saved (None: `state_dict()`).
    """
    groups, own_groups = saved["param_groups"], (fresh or optimizer.state_dict())["param_groups"]
    for number, (group, own) in enumerate(zip(groups, own_groups, strict=True)):
        for name, value in own.items():
            if name not in SCHEDULED and group.get(name, value) != value:  # earlier versions of torch had fewer
                raise ValueError(f"'param_groups/{number}/{name}' is {shortened(group[name])}, not {shortened(value)}")
    moments_by_number = saved["state"]
    expected = [_moments_of(type(optimizer), group) for group in own_groups for _ in group["params"]]
    if updates and not moments_by_number and any(expected):
        raise ValueError(f"the optimizer has no averages, but has made {updates:,} updates")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, moments in moments_by_number.items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError(f"the optimizer has no parameter {shortened(index)}")
        if not isinstance(moments, dict) or moments.keys() != expected[index].keys():
            kept = ", ".join(expected[index])
            raise ValueError(f"the optimizer keeps {kept} of parameter {index}, not {_kind(moments)}")
        for name, value in moments.items():
            if value is None and not isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
                continue  # plain gradient descent has no momentum
            if not _is_average(name, value, parameters[index] if expected[index][name] else None):
                raise ValueError(f"'{name}' of the optimizer's parameter {index} is {_kind(value)}")


def _is_average(name: str, value: Any, parameter: Tensor | None) -> bool:
    """Return whether an optimizer keeps such a value. parameter: of the same shape; None: a number."""
    shape, kind = ((), torch.float32) if parameter is None else (tuple(parameter.shape), parameter.dtype)
    if not isinstance(value, Tensor) or tuple(value.shape) != shape or value.dtype != kind:
        return False
    if name == "step" and not (float(value) % 1 == 0 and 0 <= float(value) < MOST_UPDATES):  # NaN is not
        return False
    positive = name.endswith(("_sq", "square_avg", "sum")) and value.numel() > 0
    return bool(value.isfinite().all()) and not (positive and float(value.min()) < 0)


def _moments_of(kind: type[torch.optim.Optimizer], settings: dict[str, Any]) -> dict[str, bool]:
    """Return the names of what an optimizer keeps of each parameter, and whether it has the parameter's shape."""
    taken = inspect.signature(kind).parameters.keys() - {"params"}
    probe = nn.Parameter(torch.zeros(2))
    probe.grad = torch.zeros(2)
    again = kind([probe], **{name: value for name, value in settings.items() if name in taken})
    again.step()
    return {name: isinstance(value, Tensor) and value.ndim == 1 for name, value in again.state[probe].items()}

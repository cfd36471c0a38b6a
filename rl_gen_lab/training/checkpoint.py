"""Checkpoints of a supervised run: torch's random state, and the conditions under which a run can be continued."""

from __future__ import annotations

from typing import Any

import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.runs.folder import RunFolder


def check_identity(state: dict[str, Any], identity: dict[str, str], run: RunFolder) -> None:
    """Raise CheckpointError when a checkpoint is of another task or of other data."""
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise CheckpointError(f"{run} was trained with {name} {state['identity'].get(name)}, here it is {value}")


def random_state(device: torch.device, group: Group, one_stream: bool = False) -> dict[str, torch.Tensor]:
    """Return the states of torch's own random generators, of all processes.

    `random` is that of the first, or of the last where it draws as a single process would (one_stream);
    `random_others` (processes - 1, bytes) is there where there are several.
    """
    first, *others = _ordered(group.gather(torch.get_rng_state()), one_stream)
    state = {"random": first}
    if others:
        state["random_others"] = torch.stack(others)
    if device.type == "cuda":
        state["random_cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device, group: Group, one_stream: bool = False) -> None:
    """Restore the generators from a checkpoint with the values of `random_state`.

    A process that the checkpoint has no state of, as it was made by fewer, keeps its own; of one stream it gets that of
    the run.
    """
    states: list[torch.Tensor] = [state["random"], *state.get("random_others", [])]
    place = _ordered(list(range(group.size)), one_stream).index(group.ranks.rank)
    if place < len(states) or one_stream:
        torch.set_rng_state(states[place if place < len(states) else 0])
    if device.type == "cuda" and "random_cuda" in state and (group.ranks.leads or one_stream):
        torch.cuda.set_rng_state(state["random_cuda"], device)


def _ordered(items: list[Any], one_stream: bool) -> list[Any]:
    return items[::-1] if one_stream else items

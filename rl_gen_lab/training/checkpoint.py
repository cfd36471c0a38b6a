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


def random_state(device: torch.device, group: Group) -> dict[str, torch.Tensor]:
    """Return the states of torch's own random generators, of all processes.

    `random` is that of the first; `random_others` (processes - 1, bytes) is there where there are several.
    """
    first, *others = group.gather(torch.get_rng_state())
    state = {"random": first}
    if others:
        state["random_others"] = torch.stack(others)
    if device.type == "cuda":
        state["random_cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device, group: Group) -> None:
    """Restore the generators from a checkpoint with the values of `random_state`.

    A process that the checkpoint has no state of, as it was made by fewer, keeps its own.
    """
    rank = group.ranks.rank
    states = [state["random"], *state.get("random_others", [])]
    if rank < len(states):
        torch.set_rng_state(states[rank])
    if device.type == "cuda" and "random_cuda" in state and rank == 0:
        torch.cuda.set_rng_state(state["random_cuda"], device)

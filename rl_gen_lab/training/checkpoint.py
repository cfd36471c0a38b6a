"""Checkpoints of a supervised run: torch's random state, and the conditions under which a run can be continued."""

from __future__ import annotations

from typing import Any

import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder


def check_identity(state: dict[str, Any], identity: dict[str, str], run: RunFolder) -> None:
    """Raise CheckpointError when a checkpoint is of another task or of other data."""
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise CheckpointError(f"{run} was trained with {name} {state['identity'].get(name)}, here it is {value}")


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of torch's own random generators."""
    state = {"random": torch.get_rng_state()}
    if device.type == "cuda":
        state["random_cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the generators from a checkpoint with the values of `random_state`."""
    torch.set_rng_state(state["random"])
    if device.type == "cuda" and "random_cuda" in state:
        torch.cuda.set_rng_state(state["random_cuda"], device)

"""Checks for non-finite losses and weights; checkpoint writing on a full disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import DivergedError, SaveError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.runs.checkpoints import save_state, save_weights
from rl_gen_lab.runs.folder import RunFolder

Say = Callable[[str], None]


def refuse_nonfinite_losses(losses: Mapping[str, Any], when: str, run: RunFolder, advice: str, *, wait: bool) -> None:
    """Raise DivergedError naming the first loss that is NaN or infinite.

    wait: also look at tensors on a GPU, which stops until it has computed them; those on the host are always looked at.
    """
    for name, value in losses.items():
        on_host = not isinstance(value, torch.Tensor) or value.device.type == "cpu"
        if (wait or on_host) and not math.isfinite(float(value)):
            raise DivergedError(f"{name} became {float(value)} at {when}. {last_checkpoint(run)}. {advice}")


def refuse_nonfinite_weights(network: torch.nn.Module, when: str, run: RunFolder) -> None:
    """Raise DivergedError naming the first weight that is NaN or infinite."""
    for name, weights in network.state_dict().items():
        if not bool(weights.isfinite().all()):
            raise DivergedError(f"{name} is not finite at {when}. {last_checkpoint(run)}")


def last_checkpoint(run: RunFolder) -> str:
    """Say whether there is a checkpoint to go back to."""
    latest = run.checkpoints / "latest"
    return f"The checkpoint before stays in {latest}" if latest.is_dir() else "No checkpoint was written before"


def weights_on_disk(run: RunFolder, *names: str) -> Path:
    """Return the first file of weights of these names. Raises SaveError at the end of a run whose disk refused all."""
    files = [run.checkpoints / f"{name}.safetensors" for name in names]
    if not (written := [file for file in files if file.is_file()]):
        raise SaveError(f"the disk refused all weights of {run}: make room, then resume it or train again")
    return written[0]


def keep_state(run: RunFolder, state: dict[str, Any], when: str, say: Say) -> bool:
    """Write the checkpoint to resume from; False where a full disk costs this checkpoint, but not the run."""
    try:
        run.refuse_gone()
        save_state(run.checkpoints / "latest", state)
    except SaveError as error:
        say(f"checkpoint at {when} not written, the one before stays: {error}")
        return False
    return True


def refuse_unsaved(run: RunFolder, saved: bool) -> None:
    """Raise SaveError at the end of a run whose last checkpoint the disk refused: it goes on from the one before."""
    if not saved:
        run.refuse_gone()
        raise SaveError(f"the last checkpoint of {run} is not on disk: make room, then resume it")


def keep_weights(run: RunFolder, name: str, network: torch.nn.Module, metadata: dict[str, str], say: Say) -> bool:
    """Write the network's weights as `name`.safetensors; False where the disk refused, which does not end the run.

    A network with an `export(path without suffix)` of its own, for files of another library, then writes these.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    try:
        run.refuse_gone()
        save_weights(run.checkpoints / f"{name}.safetensors", tensors, metadata)
    except SaveError as error:
        say(f"the {name} weights were not written: {error}")
        return False
    if (export := getattr(network, "export", None)) is not None:
        try:
            export(run.checkpoints / name)
        except Exception as error:  # of a library that pickles: what it cannot write costs its file, not the run
            say(f"the {name} agent was not exported, an export before it stays: {error}")
    return True

"""Refusal of environments whose code changes torch for the whole process."""

from __future__ import annotations

import torch

from agents.training.env_runner import EnvStepError


def refuse_changed_torch(env_id: str) -> None:
    """Refuse what an environment's code has changed in the process that trains. Raises: EnvStepError."""
    if not torch.is_grad_enabled():
        changed, instead = "turned off torch's gradients", "with torch.no_grad(): around its own code"
    elif (dtype := torch.get_default_dtype()) != torch.float32:
        changed, instead = f"made {dtype} torch's default", f"dtype={dtype} in its own tensors"
    else:
        return
    raise EnvStepError(f"environment {env_id} {changed}, with which no agent learns: use {instead}")

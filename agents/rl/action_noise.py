"""The noise that turns a policy into actions, new at each step or held for several.

Held noise explores in long pushes instead of dithering: an environment that drew "rather left" keeps to it for a while.
At every single step the action is still distributed as the policy says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.distributions import Distribution


class ActionNoise:
    """Draws actions for N environments, each with noise of its own that lasts `hold_steps` vector steps.

    The environments draw new noise one after another, not all at once. With hold_steps above 1 successive actions are
    correlated; the policy gradient ignores this, as Stable-Baselines3 does with `sde_sample_freq`. Source: Raffin et
    al. 2022, "Smooth exploration for robotic reinforcement learning", section 3.2, without its state-dependent part.
    """

    def __init__(self, hold_steps: int, num_envs: int, generator: torch.Generator) -> None:
        self.hold_steps, self.generator = hold_steps, generator
        self.phase = torch.arange(num_envs, device=generator.device) * hold_steps // num_envs
        self.held: Tensor | None = None
        self.steps = 0

    def sample(self, policy: Distribution) -> Tensor:
        """Draw actions (N,) or (N, A) of a policy over (N,)."""
        fresh = policy.noise(self.generator)
        if self.hold_steps == 1:
            return policy.reparametrize(fresh)
        due = (self.phase + self.steps) % self.hold_steps == 0
        due = due.view(-1, *[1] * (fresh.dim() - 1))
        fits = self.held is not None and (self.held.shape, self.held.dtype) == (fresh.shape, fresh.dtype)
        self.held = torch.where(due, fresh, self.held) if fits else fresh  # type: ignore[arg-type]
        self.steps += 1
        return policy.reparametrize(self.held)

    def state_dict(self) -> dict[str, Any]:
        """Return the noise under way; its generator is saved by its owner."""
        return {"held": self.held, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.held = None if (held := state["held"]) is None else held.to(self.phase.device)
        self.steps = int(state["steps"])

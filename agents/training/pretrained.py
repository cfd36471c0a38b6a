"""Starting an agent from a trained backbone: of another agent's run, or of a model that was saved as safetensors.

    python -m agents.ppo --env Breakout --init-backbone runs/dqn__Pong__1__20260101-120000 --init-frozen conv

The backbone begins with the trained weights, in each copy that the network has of it (the target network's, that of a
separate critic); heads and an LSTM begin as always. What a first convolution subtracts and scales by comes along as
well, and is measured anew where the agent standardises frames itself. Statistics that standardise vectors do not
come along: they are the agent's own.

A resumed run loads nothing: its checkpoint holds the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from agents.rl.policy_networks import load_network
from agents.training.session import Session
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder

PREFIXES = ("backbone.", "newest.backbone.")  # of an agent's network, of an ensemble of them


@dataclass(frozen=True)
class TransferConfig:
    """A trained backbone to start from."""

    # Run folder of any agent of ours (its best weights), or a .safetensors file (None: begin untrained).
    init_backbone: Path | None = None
    # What of it stays as it is: nothing, its convolutions, or all of it. With normalise_obs frames are standardised by
    # those of the new world all the same.
    init_frozen: Literal["none", "conv", "all"] = "none"
    # The rest of it learns with the agent's step size times this.
    init_learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.init_learning_rate_factor <= 0:
            raise ConfigError(
                f"init_learning_rate_factor must be more than 0, not {self.init_learning_rate_factor};"
                " what shall not learn at all is frozen: --init-frozen all"
            )
        if self.init_backbone is None and (self.init_frozen != "none" or self.init_learning_rate_factor != 1.0):
            raise ConfigError("init_frozen and init_learning_rate_factor belong to --init-backbone RUN_OR_FILE")


def backbones(network: nn.Module) -> list[nn.Module]:
    """The backbones of an agent's network: one, or two where the critic has its own."""
    found = (getattr(network, name, None) for name in ("backbone", "value_backbone"))
    return [module for module in found if module is not None]


def freeze(config: TransferConfig, network: nn.Module) -> None:
    """Take what stays as it is out of learning; to be called before the optimiser is made.

    Raises: ConfigError, if a backbone without convolutions shall freeze them.
    """
    for backbone in backbones(network) if config.init_frozen != "none" else ():
        if config.init_frozen == "conv" and not isinstance(backbone, Convolutional):
            raise ConfigError(f"init_frozen conv needs convolutions; {type(backbone).__name__} has none: none or all")
        fixed = backbone.conv if config.init_frozen == "conv" else backbone
        fixed.requires_grad_(False)


def parameter_groups(
    config: TransferConfig, network: nn.Module, learning_rate: float, parts: Sequence[nn.Module] = ()
) -> list[dict[str, Any]]:
    """What an optimiser is made of: one group, or with a trained backbone one for what is new and one for that.

    parts: of the network, to be learned by this optimiser (none: all of it). Frozen parameters are in no group.
    """
    parameters = [parameter for part in parts or [network] for parameter in part.parameters()]
    if config.init_backbone is None:
        return [{"params": parameters}]
    trained = {id(parameter) for backbone in backbones(network) for parameter in backbone.parameters()}
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    factor = config.init_learning_rate_factor
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in learned if id(parameter) not in trained]},
        {
            "params": [parameter for parameter in learned if id(parameter) in trained],
            "lr": learning_rate * factor,
            "factor": factor,
        },
    ]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give each group the step size, times the factor that it may have."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("factor", 1.0)


def begin(config: TransferConfig, session: Session, *networks: nn.Module) -> None:
    """Load the trained backbone into the networks of a new run, and note in config.json where it came from.

    Raises: CheckpointError for a file that cannot be read, or naming the layers that do not fit.
    """
    if config.init_backbone is None or session.saved is not None:
        return
    tensors, origin = trained_backbone(config.init_backbone)
    for network in networks:
        for backbone in backbones(network):
            load_network(backbone, tensors, f"the backbone in {origin['file']}")
    session.note({"init_backbone": origin})


def trained_backbone(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a trained backbone by their names within it, and where they came from.

    path: a run folder, or a safetensors file of a network with a `backbone`, or of a backbone alone.
    The origin holds the file, the SHA-256 of its bytes and what was written into it (algo, env_id, fingerprint,
    global_step, return_mean). Raises: CheckpointError.
    """
    file = path if path.suffix == ".safetensors" else RunFolder.open(path).checkpoints / "best.safetensors"
    saved, written = load_weights(file)
    own = {name.removeprefix(prefix): saved[name] for prefix in PREFIXES for name in saved if name.startswith(prefix)}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not saved:
        raise CheckpointError(f"{file} holds no weights")
    return own or saved, {"file": str(file), "sha256": digest, **written}

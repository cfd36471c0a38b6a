"""Starting an agent from a pretrained backbone: of another agent's run, or of a model saved as safetensors.

    python -m agents.ppo --env Breakout --init-backbone runs/dqn__Pong__1__20260101-120000 --init-frozen conv

The backbone starts with the saved weights; heads and an LSTM start untrained. The mean frame and standard deviation
that a first convolution standardizes by come along, and are measured anew where the agent standardizes frames itself.
Statistics that standardize vectors do not come along: they are the agent's own.

A resumed run loads nothing: its checkpoint holds the weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agents.rl.optimizers import backbones_of
from agents.training.config import AgentConfig, TransferConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression import numpy_network, packed_file
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import load_network

PACKED = ".rlz"
# Of an agent's network, of the first of several that learn side by side, and of an ensemble's.
PREFIXES = ("backbone.", "networks.0.backbone.", "newest.backbone.", "newest.networks.0.backbone.")


def start(config: AgentConfig, network: nn.Module, resumed: bool, typed_in: Path) -> dict[str, str] | None:
    """Start a network from the pretrained backbone of its settings, if they name one; freeze what is to be frozen.

    typed_in: the folder in which the settings were typed, which an environment may have left since then.
    Returns where the weights came from, as `read_backbone`; None where nothing was loaded. Raises: ConfigError,
    CheckpointError.
    """
    transfer = getattr(config, "transfer", TransferConfig())
    if transfer.init_backbone is None:
        return None
    freeze(transfer, network)
    path = transfer.init_backbone if Path.cwd() == typed_in else typed_in / transfer.init_backbone
    return None if resumed else load_backbone(path, network)


def freeze(config: TransferConfig, network: nn.Module) -> None:
    """Take the frozen part of the backbones out of learning; call it before the optimizer is made.

    Raises: ConfigError, if the convolutions of a backbone without convolutions are to be frozen.
    """
    for backbone in backbones_of(network) if config.init_frozen != "none" else ():
        if config.init_frozen == "conv" and not isinstance(backbone, Convolutional):
            raise ConfigError(f"init_frozen conv needs convolutions; {type(backbone).__name__} has none: none or all")
        fixed = backbone.conv if config.init_frozen == "conv" else backbone
        fixed.requires_grad_(False)


def load_backbone(path: Path, network: nn.Module) -> dict[str, str]:
    """Load pretrained weights into every backbone of a network; return where they came from, as `read_backbone`.

    Raises: CheckpointError for a file that cannot be read, or naming the layers that do not fit.
    """
    tensors, origin = read_backbone(path)
    for backbone in backbones_of(network):
        load_network(backbone, tensors, f"the backbone in {origin['file']}")
    return origin


def read_backbone(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a pretrained backbone by their names within it, and where they came from.

    path: a run folder, whose best agent is taken, or a safetensors or packed file of a network with a `backbone`, or
    of a backbone alone.
    The origin holds the file, the SHA-256 of its bytes and what was written into it (algo, env_id, fingerprint,
    global_step, return_mean). Raises: CheckpointError.
    """
    file = path if path.suffix in (".safetensors", PACKED) else _agent_of(RunFolder.open(path))
    saved, metadata = _read_packed(file) if file.suffix == PACKED else load_weights(file)
    own = {name.removeprefix(prefix): saved[name] for prefix in PREFIXES for name in saved if name.startswith(prefix)}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not saved:
        raise CheckpointError(f"{file} holds no weights")
    return own or saved, {"file": str(file), "sha256": digest, **metadata}


def _read_packed(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with packed_file.opened(file) as data:
        packed = packed_file.read(data, numpy_network.shapes_of)
        if "network" in packed.header:
            numpy_network.network_table(packed.header)
    return {name: torch.from_numpy(np.array(value)) for name, value in packed.values().items()}, {}


def _agent_of(run: RunFolder) -> Path:
    file = run.checkpoints / "best.safetensors"
    if not file.exists():
        raise CheckpointError(
            f"{run} has no best.safetensors yet, for nothing was evaluated: resume it, or choose another run"
        )
    return file

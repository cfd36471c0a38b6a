"""Starting a vision model from the backbone of another run, such as a generator's encoder, which needed no labels.

A packed file, FILE.rlz, stands where a run can.

    python -m rl_gen_lab.train classify --data datasets/pong_5000_0 --label-share 0.01 --init-backbone runs/RUN

The backbones must be the same; statistics of the pixels come along. A resumed run loads nothing: its checkpoint holds
the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import load_network, misfits

PREFIXES = ("backbone.", "encoder.backbone.")  # of a vision model's network and of a generator's


def backbone_of(network: nn.Module) -> Convolutional:
    """Return the backbone of a network. Raises: ConfigError for a network without one."""
    backbone = next((module for module in network.modules() if isinstance(module, Convolutional)), None)
    if backbone is None:
        raise ConfigError("--init-backbone is for models on a backbone, which this one has not")
    return backbone


def freeze(backbone: nn.Module) -> None:
    """Keep a backbone as it is: no gradients, running statistics that stay, nothing dropped."""

    def stay(mode: bool = True) -> nn.Module:
        return backbone

    backbone.eval().requires_grad_(False)
    backbone.train = stay  # type: ignore[method-assign]


def init_backbone(backbone: nn.Module, path: Path) -> None:
    """Load the backbone of a run's best weights, or of a packed file. Raises: CheckpointError for another backbone."""
    metadata, saved = _read(path)
    tensors = {name.removeprefix(p): saved[name] for p in PREFIXES for name in saved if name.startswith(p)}
    if wrong := misfits(backbone, tensors):
        raise CheckpointError(
            f"the backbone of {path} is another ({wrong[0]} and {len(wrong) - 1} more do not fit);"
            f" it was made with {_settings_of(metadata)}"
        )
    load_network(backbone, tensors, f"the backbone of {path}")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what is kept with a model or a policy, and its weights. Raises: CheckpointError."""
    from rl_gen_lab.training.load import PACKED, read_model  # which reads the tasks

    if path.suffix != PACKED:
        run = RunFolder.open(path)
        return run.read_config(), load_weights(run.checkpoints / "best.safetensors")[0]
    return read_model(path)


def _settings_of(metadata: dict[str, Any]) -> str:
    """Describe the backbone of a run, as flags."""
    config = metadata.get("config", {})
    task = config.get("task") if isinstance(config, dict) else None
    settings = config.get(task) if isinstance(task, str) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("choices"), dict):
        return "settings that are not known"
    words = " ".join(f"{name.replace('_', '-')} {value}" for name, value in settings["choices"].items())
    return f"backbone {settings.get('backbone')}, choices {words}"

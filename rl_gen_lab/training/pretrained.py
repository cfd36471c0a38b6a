"""Starting a vision model from the backbone of another run, such as a generator's encoder, which needed no labels.

    python -m rl_gen_lab.train classify --data datasets/pong_5000_0 --label-share 0.01 --init-backbone runs/RUN

The backbones must be the same; statistics of the pixels come along. A resumed run loads nothing: its checkpoint holds
the weights.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import misfits

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
    """Load the backbone of a run's best weights. Raises: CheckpointError for a run whose backbone is another."""
    run = RunFolder.open(path)
    saved, _ = load_weights(run.checkpoints / "best.safetensors")
    tensors = {name.removeprefix(p): saved[name] for p in PREFIXES for name in saved if name.startswith(p)}
    if wrong := misfits(backbone, tensors):
        raise CheckpointError(
            f"the backbone of {run} is another ({wrong[0]} and {len(wrong) - 1} more do not fit);"
            f" it was made with {_settings_of(run)}"
        )
    backbone.load_state_dict(tensors)


def _settings_of(run: RunFolder) -> str:
    """Describe the backbone of a run, as flags."""
    config = run.read_config().get("config", {})
    task = config.get("task") if isinstance(config, dict) else None
    settings = config.get(task) if isinstance(task, str) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("choices"), dict):
        return "settings that are not known"
    words = " ".join(f"{name.replace('_', '-')} {value}" for name, value in settings["choices"].items())
    return f"backbone {settings.get('backbone')}, choices {words}"

"""What a supervised training says of itself: lines of the record, result.json, the memory of each process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rl_gen_lab.compute.devices import peak_memory_mb
from rl_gen_lab.distributed.parted import reported

if TYPE_CHECKING:
    from rl_gen_lab.training.loop import Loop


def log_update(loop: Loop, losses: dict[str, Tensor], norm: float, images_per_second: float) -> None:
    """Write a line about an update. norm: of the gradient; images_per_second: of this process, forward."""
    numbers = {f"losses/{name}": float(value) for name, value in losses.items()}
    numbers |= {"charts/epoch": loop.epoch, "losses/grad_norm": norm}
    numbers["charts/learning_rate"] = loop.optimizer.param_groups[0]["lr"]
    loop.tracker.log(numbers | loop.group.named("forward_images_per_second", images_per_second), loop.updates)


def memory_of_ranks(loop: Loop) -> dict[str, float]:
    """Return what each of several processes holds: weights, optimizer's state and the peak [MiB], by ranks/NUMBER/NAME.

    All processes must call it. The peak is of the whole process, libraries and images included.
    """
    found: dict[str, float] = {}
    for name, number in (reported(loop.task.network, loop.optimizer) | {"peak_memory_mb": peak_memory_mb()}).items():
        found |= loop.group.named(name, number)
    return found


def result_of(loop: Loop, status: str) -> dict[str, Any]:
    """Return what result.json says of a run so far."""
    return {
        "status": status,
        "epochs": loop.epoch,
        "updates": loop.updates,
        "best_epoch": loop.best_epoch,
        "goal": loop.task.target_metric,
        "parameters": sum(weight.numel() for weight in loop.task.network.parameters()),
        "wall_seconds": loop.tracker.wall_seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def publish(loop: Loop, result: dict[str, Any], best_file: Path) -> None:
    """Show the result of a run that has ended."""
    loop.tracker.summary({f"test/{name}": value for name, value in result["test"].items()})
    loop.tracker.model(best_file, result["test"], ["best"])
    test = f"{formatted(result['test'])} · {result['latency_ms']:.1f} ms for one image at 1 thread"
    loop.display.say(f"done: best weights are of epoch {loop.best_epoch} · test {test}")


def formatted(metrics: dict[str, float]) -> str:
    """Return metrics in a line."""
    return " · ".join(f"{name} {value:.4g}" for name, value in metrics.items())

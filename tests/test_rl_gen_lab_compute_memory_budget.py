"""Memory: networks that do not fit, what training needs, the memory of a control group."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute import memory_budget
from rl_gen_lab.compute.optimizers import OptimizerConfig, make_optimizer

SHAPE = (3, 210, 160)


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=size))


def test_a_backbone_that_does_not_fit_is_refused_unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = torch.nn.Conv2d.reset_parameters
    monkeypatch.setattr(
        torch.nn.Conv2d, "reset_parameters", lambda self: made.append(self.weight.device.type == "cpu") or real(self)
    )
    free(monkeypatch, 2 * 10**9)
    # He's basic block: stage s of 9 has width w = 16 * 2^s and about 2 * depth convolutions of 9 w^2 weights.
    with pytest.raises(ConfigError, match=r"715,\d{3},\d{3} weights of backbone 'resnet' need 2\.9 GB .* 2\.0 GB free"):
        build_configured("resnet", SHAPE, BackboneConfig(stages=9, norm="batch"))
    assert made and not any(made)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("resnet", {"stages": 32}),
        ("squeezenet", {"stages": 20}),
        ("densenet", {"width": 1_000_000}),
        ("resnext", {"width": 1_000_000}),
        ("resnet_bottleneck", {"depth": 30, "width": 16_384}),
    ],
)
def test_absurd_sizes_are_one_line(name: str, choices: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"too large for any memory|weights of backbone .* GB free: use smaller"):
        build_configured(name, SHAPE, BackboneConfig(**choices))


def test_what_could_not_even_be_counted_is_refused() -> None:
    with pytest.raises(ConfigError, match="stages must be from 1 to 32, not 33"):
        BackboneConfig(stages=33)
    with pytest.raises(ConfigError, match="depth must be from 1 to 200, not 5000"):
        BackboneConfig(depth=5_000)
    with pytest.raises(ConfigError, match=r"depth 40 has 549,755,813,888 convolutions .* at most 10"):
        build_configured("fractalnet", SHAPE, BackboneConfig(depth=40))


def test_counting_leaves_the_weights_as_they_would_be() -> None:
    torch.manual_seed(0)
    counted = build_configured("resnet", (3, 40, 32), BackboneConfig(depth=5))
    torch.manual_seed(0)
    with torch.device("cpu"):
        other = type(counted)((3, 40, 32), BackboneConfig(depth=5))  # type: ignore[call-arg]
    assert all(torch.equal(a, b) for a, b in zip(counted.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_an_optimiser_keeps_is_counted(name: str, momentum: float) -> None:
    network = torch.nn.Linear(100, 50)
    optimizer = make_optimizer(network, OptimizerConfig(name=name, momentum=momentum))  # type: ignore[arg-type]
    network(torch.ones(2, 100)).sum().backward()
    optimizer.step()
    kept = [part for state in optimizer.state.values() for key, part in state.items() if key != "step"]
    size = sum(part.nbytes for part in kept if isinstance(part, torch.Tensor))
    size += sum(weight.grad.nbytes for weight in network.parameters() if weight.grad is not None)
    assert memory_budget.learning_bytes(network, name, momentum) == size


def test_what_a_backward_pass_keeps_is_not_overstated() -> None:
    for norm, shape in (("batch", (3, 40, 32)), ("none", (3, 64, 64))):
        network = build_configured("resnet", shape, BackboneConfig(norm=norm))  # type: ignore[arg-type]
        kept: dict[int, int] = {}
        weights = {weight.data_ptr() for weight in network.parameters()}

        def keep(x: torch.Tensor, kept: dict[int, int] = kept, weights: set[int] = weights) -> torch.Tensor:
            if x.data_ptr() not in weights:
                kept[x.data_ptr()] = max(kept.get(x.data_ptr(), 0), x.nbytes)
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            network(torch.zeros(4, *shape, dtype=torch.uint8))
        counts = network.counts()  # type: ignore[operator]
        least = memory_budget.backward_bytes(network, counts.activations, 4, 4)
        assert 0.5 * sum(kept.values()) < least < 1.05 * sum(kept.values())


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/jobs/mine", "sys/fs/cgroup/jobs", ("memory.max", "memory.current", "inactive_file")),
        (
            "5:cpu,memory:/jobs/mine",
            "sys/fs/cgroup/memory/jobs",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_a_job_has_no_more_memory_than_its_group_is_given(
    tmp_path: Path, line: str, folder: str, files: tuple[str, str, str]
) -> None:
    limit, usage, droppable = files
    for group, allowed in ((tmp_path / folder, "1000"), (tmp_path / folder / "mine", "max")):
        group.mkdir(parents=True)
        (group / limit).write_text(f"{allowed}\n")
        (group / usage).write_text("700\n")
        (group / "memory.stat").write_text(f"anon 500\n{droppable} 200\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:name=other:/\n{line}\n")
    assert memory_budget._free_in_cgroups(tmp_path) == [500], "1000 given, 700 taken, 200 of them only remembered files"
    assert memory_budget._free_in_cgroups(tmp_path / "nowhere") == []

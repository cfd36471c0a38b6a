"""Networks built within bounds: ordinary ones as without them, huge ones refused before anything is allocated."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression.bounded import MOST_AT_ONCE, Bounds, bounded

FRAMES = torch.randint(0, 256, (1, 4, 84, 84), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("backbone", ["small", "impala", "resnet", "fractalnet", "8x8s4-8x4s2-p-16"])
def test_an_ordinary_network_is_the_same_within_bounds(backbone: str) -> None:
    outputs = []
    for bounds in (bounded, torch.no_grad):
        torch.manual_seed(0)
        with bounds():  # type: ignore[operator]
            outputs.append(build(backbone, (4, 84, 84)).eval()(FRAMES))
    assert torch.equal(*outputs)


def refused(make: object) -> str:
    began = time.process_time()
    with pytest.raises(CheckpointError) as caught, bounded():
        make()  # type: ignore[operator]
    assert time.process_time() - began < 5 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: build("8x8s4-99999", (4, 1_024, 1_024)),
        lambda: build("9999x8s1-9999x8s1-16", (4, 84, 84)),
        lambda: build("64x1s1-16", (3, 4_096, 4_096)),
        lambda: nn.Linear(10**6, 10**6),
        lambda: torch.zeros(10**10),
        lambda: torch.arange(10**10),
        lambda: torch.ones(10**6, 1) * torch.ones(1, 10**6),
        lambda: torch.ones(10**6, 1) @ torch.ones(1, 10**6),
        lambda: torch.ones(1).expand(10**10).clone(),
        lambda: torch.ones(1000).repeat(10**7),
        lambda: F.interpolate(torch.ones(1, 1, 9, 9), size=(10**5, 10**5)),
        lambda: F.pad(torch.ones(1, 1, 9, 9), [10**5] * 4),
        lambda: F.conv_transpose2d(torch.ones(1, 1, 90, 90), torch.ones(1, 99, 9, 9), stride=999),
        lambda: [torch.zeros(MOST_AT_ONCE // 8) for _ in range(99)],
    ],
)
def test_what_takes_much_memory_is_refused_before(make: object) -> None:
    assert "numbers at once" in refused(make)


def test_what_takes_much_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 16 * 20 * 20 * 4 * 64 + 32 * 9 * 9 * 16 * 16 + 32 * 7 * 7 * 32 * 9  # by the convolutions of `small`
    monkeypatch.setattr("rl_gen_lab.compression.bounded.MOST_MULTIPLY_ADDS", needed)
    with bounded():
        build("small", (4, 84, 84))
    monkeypatch.setattr("rl_gen_lab.compression.bounded.MOST_MULTIPLY_ADDS", needed - 1)
    assert f"would take {needed:,} multiplications for an image" in refused(lambda: build("small", (4, 84, 84)))
    monkeypatch.setattr("rl_gen_lab.compression.bounded.MOST_OPERATIONS", 9)
    assert "more than 9 operations" in refused(lambda: build("small", (4, 84, 84)))


def test_errors_of_what_does_not_fit_are_one_line() -> None:
    for make, message in (
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "cannot be built: "),
        (lambda: {}["weight"], "cannot be built: 'weight'"),
        (lambda: [][0], "cannot be built: list index"),
        (lambda: None + 1, "cannot be built: unsupported"),  # type: ignore[operator]
        (lambda: nn.Module()(FRAMES), "cannot be built: "),
    ):
        assert message in refused(make)

    def wrong() -> None:
        raise ConfigError("a setting\nthat is wrong")

    assert refused(wrong) == "a setting that is wrong"


def test_a_bug_elsewhere_keeps_its_traceback() -> None:
    with pytest.raises(KeyboardInterrupt), bounded():
        raise KeyboardInterrupt
    with Bounds():
        assert torch.zeros(3).sum() == 0

"""Settings that every training command shares: what cannot work is refused, and precision follows the processor."""

import pytest
import torch

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.compute.devices import multiplies_bfloat16


@pytest.mark.parametrize(
    ("device", "cpu", "cuda", "expected"),
    [
        ("cpu", True, None, True),
        ("cpu", False, True, False),
        ("auto", False, None, False),
        ("auto", False, True, True),
        ("cuda", True, False, False),
        ("mps", True, True, False),
    ],
)
def test_automatic_precision_is_what_the_processor_is_made_for(
    monkeypatch: pytest.MonkeyPatch, device: str, cpu: bool, cuda: bool | None, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cuda)
    multiplies_bfloat16.cache_clear()
    assert DeviceConfig(device=device, precision="auto").bfloat16 == expected
    multiplies_bfloat16.cache_clear()
    assert not DeviceConfig(device=device).bfloat16 and DeviceConfig(device=device, precision="bfloat16").bfloat16


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads must be from 1 to 1,024, not 0"):
        DeviceConfig(threads=0)

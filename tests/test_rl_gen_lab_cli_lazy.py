"""The lazy torch: nothing is imported before an attribute is used, and then it is torch's own."""

import subprocess
import sys

import pytest
import torch

from rl_gen_lab.cli import lazy


def test_settings_can_be_read_without_torch() -> None:
    code = "import sys; from rl_gen_lab.cli.settings import DeviceConfig; DeviceConfig(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_attribute_is_torch_s_own() -> None:
    assert lazy.torch.Tensor is torch.Tensor
    assert lazy.torch.nn.functional is torch.nn.functional


def test_an_attribute_that_is_replaced_in_torch_is_replaced_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lazy.torch.rand is torch.rand
    monkeypatch.setattr(torch, "rand", len)
    assert lazy.torch.rand is len


def test_a_compiled_function_may_use_it() -> None:
    def twice(x: torch.Tensor) -> torch.Tensor:
        return lazy.torch.add(x, x)

    compiled = torch.compile(twice, backend="eager", fullgraph=True)
    assert compiled(torch.ones(2)).tolist() == [2.0, 2.0]

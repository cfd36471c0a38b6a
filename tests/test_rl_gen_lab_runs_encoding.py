"""A nested state as plain values, tensors and arrays."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl_gen_lab.runs.checkpoints import load_state, save_state


def test_every_kind_of_value_comes_back_exactly(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "plain": {"big": 2**200, "pi": math.pi, "tiny": 5e-324, "text": "é\n", "none": None, "yes": True},
        "odd": [math.nan, -math.inf, (1, 2.0), [], {}, {"__tensor__": "mine"}, {3: "three", "4": "four"}],
        "tensors": {
            "half": torch.tensor([1.5], dtype=torch.bfloat16),
            "scalar": torch.tensor(7),
            "empty": torch.zeros(0, 3),
            "turned": torch.arange(6).reshape(2, 3).T,
            "flags": torch.tensor([True, False]),
        },
        "arrays": {
            "frames": np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2],
            "scalar": np.array(3.5),
            "empty": np.zeros((0, 2), np.int64),
            "text": np.array(["a", "bc"]),
        },
        "a/b": torch.tensor(1),
        "a": {"b": torch.tensor(2)},
    }
    save_state(tmp_path / "last", state)
    back = load_state(tmp_path / "last")
    assert back["plain"] == state["plain"]
    assert math.isnan(back["odd"][0])
    assert back["odd"][1:] == state["odd"][1:]
    for name, tensor in state["tensors"].items():
        assert back["tensors"][name].dtype == tensor.dtype
        assert torch.equal(back["tensors"][name], tensor), name
    for name, array in state["arrays"].items():
        assert back["arrays"][name].dtype == array.dtype
        assert np.array_equal(back["arrays"][name], array) and back["arrays"][name].shape == array.shape, name
    assert (back["a/b"], back["a"]["b"]) == (torch.tensor(1), torch.tensor(2))


@pytest.mark.parametrize("leaf", [object(), {1.5: 2}, np.array([object()]), b"bytes", {1, 2}])
def test_a_leaf_that_would_need_pickling_is_refused_and_leaves_no_trace(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(TypeError, match="'/agent/leaf'"):
        save_state(tmp_path / "last", {"agent": {"leaf": leaf}})
    assert list(tmp_path.iterdir()) == []

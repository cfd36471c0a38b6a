"""Packed networks in numpy: the action values of torch's networks, where there is no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from agents.rl.q_networks import QNetwork
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.numpy_network import NumpyNetwork, convolve, shapes_of
from rl_gen_lab.compression.packed_file import Packed, read, write

FRAME, CELLS = (4, 84, 84), (6, 10, 10)
STUDENT = "8x8s4-8x4s2-8x3s1-32"  # 16,168 weights on frames of 84 x 84
NETWORKS = [
    ("nature", FRAME),
    ("small", FRAME),
    ("tiny", CELLS),
    (STUDENT, FRAME),
    ("8x8s4-8x4s2-p-32", FRAME),
    ("5x3s2-p-7", (3, 11, 18)),
    ("3x1s1-4x2s3-9", (2, 7, 12)),
]


def frames(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def torch_network(backbone: str, shape: tuple[int, ...], dueling: bool) -> QNetwork:
    """A network of action values that differ by much, its input standardized: every second channel differs."""
    torch.manual_seed(0)
    network = QNetwork(backbone, shape, 5, dueling)
    network.standardize(torch.from_numpy(frames(6, (shape[0] // 2 or 1, *shape[1:]), seed=1)))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.1)
            else:
                weight.mul_(2)
    return network.eval().requires_grad_(False)


def student(dueling: bool) -> QNetwork:
    """`STUDENT`, standardized by a still background of blocks."""
    network = torch_network(STUDENT, FRAME, dueling)
    blocks = np.kron(frames(1, (1, 7, 7)), np.ones((12, 12), np.uint8))
    network.standardize(torch.from_numpy(np.concatenate([blocks, blocks // 2])))
    return network


def header_of(backbone: str, shape: tuple[int, ...], dueling: bool) -> dict[str, Any]:
    network = {"backbone": backbone, "shape": list(shape), "actions": 5} | ({"dueling": True} if dueling else {})
    return {"network": network}


def floats(network: QNetwork) -> dict[str, CodedTensor]:
    return {name: coded.plain(tensor.numpy()) for name, tensor in network.state_dict().items()}


def few_bits(network: QNetwork, bits: int) -> dict[str, CodedTensor]:
    """Matrices and kernels on 2^bits - 1 levels, the mean frame in grey levels, biases on 255 levels."""
    found = {}
    for name, tensor in network.state_dict().items():
        array = tensor.numpy()
        if name.endswith("mean"):
            found[name] = coded.image(array)
        elif array.ndim == 0:
            found[name] = coded.plain(array)
        elif array.ndim == 1:
            found[name] = coded.eight_bits(array)
        else:
            found[name] = coded.levels(array, 3 * array.std() / 2 ** (bits - 1))
    return found


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize(("backbone", "shape"), NETWORKS)
def test_action_values_equal_those_of_torch(backbone: str, shape: tuple[int, ...], dueling: bool) -> None:
    network = torch_network(backbone, shape, dueling)
    data = write(header_of(backbone, shape, dueling), floats(network), named=False)
    found = NumpyNetwork(read(data, shapes_of))(frames(7, shape))
    expected = network(torch.from_numpy(frames(7, shape))).numpy()
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("dueling", [False, True])
def test_a_network_of_few_bits_plays_as_torch_with_the_same_weights(dueling: bool) -> None:
    network = student(dueling)
    packed = read(write(header_of(STUDENT, FRAME, dueling), few_bits(network, 3), named=False), shapes_of)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in packed.values().items()})
    seen = frames(100, FRAME, seed=2)
    expected = network(torch.from_numpy(seen)).numpy()
    found = NumpyNetwork(packed)(seen)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    assert len(set(found.argmax(1))) > 1


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize(("backbone", "shape"), NETWORKS)
def test_tensors_have_the_names_the_shapes_and_the_order_of_torch(
    backbone: str, shape: tuple[int, ...], dueling: bool
) -> None:
    state = QNetwork(backbone, shape, 5, dueling).state_dict()
    found = shapes_of(header_of(backbone, shape, dueling))
    assert list(found.items()) == [(name, tuple(tensor.shape)) for name, tensor in state.items()]


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(1, 1, (3, 5)), (3, 1, (7, 9)), (4, 3, (11, 10)), (5, 2, (5, 6))]
)
def test_convolutions_equal_those_of_torch_in_float64(kernel: int, stride: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(kernel)
    x, weight = random.normal(size=(2, 3, *size)), random.normal(size=(4, 3, kernel, kernel))
    expected = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), stride=stride).numpy()
    np.testing.assert_allclose(convolve(x, weight, stride), expected, rtol=0, atol=1e-12)


WITHOUT_TORCH = """
    import json, sys, time
    sys.modules["torch"] = None  # importing it raises
    from pathlib import Path
    import numpy as np
    from rl_gen_lab.compression.numpy_network import NumpyNetwork, shapes_of
    from rl_gen_lab.compression.packed_file import read
    data = Path(sys.argv[1]).read_bytes()
    began = time.process_time()
    packed = read(data, shapes_of)
    seconds = time.process_time() - began
    network = NumpyNetwork(packed)
    seen = np.random.default_rng(0).integers(0, 256, (7, *network.shape), dtype=np.uint8)
    packages = ("rl_gen_lab", "agents", "envs", "tyro", "safetensors")
    own = [name for name in sys.modules if name.split(".")[0] in packages]
    print(json.dumps({"q": network(seen).tolist(), "seconds": seconds, "modules": sorted(own)}))
"""


def test_a_policy_plays_in_a_process_without_torch_and_is_read_at_once(tmp_path: Path) -> None:
    network = student(dueling=False)
    data = write(header_of(STUDENT, FRAME, False), few_bits(network, 3), named=False)
    (tmp_path / "policy.rlz").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(WITHOUT_TORCH), str(tmp_path / "policy.rlz")],
        capture_output=True,
        text=True,
        timeout=120,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)
    np.testing.assert_allclose(found["q"], NumpyNetwork(read(data, shapes_of))(frames(7, FRAME)), rtol=0, atol=1e-5)
    assert sum(weight.numel() for weight in network.parameters()) > 16_000
    assert found["seconds"] < 0.5  # 0.1 on a quiet core
    assert found["modules"] == [
        "rl_gen_lab",
        "rl_gen_lab.backbones",
        "rl_gen_lab.backbones.described",
        "rl_gen_lab.cli",
        "rl_gen_lab.cli.errors",
        *(
            f"rl_gen_lab.compression{name}"
            for name in ("", ".coded", ".header", ".integers", ".numpy_network", ".packed_file")
        ),
        "rl_gen_lab.compression.range_coder",
    ]


@pytest.mark.parametrize(
    "network",
    [
        None,
        "small",
        {},
        {"backbone": 3, "shape": [4, 84, 84], "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84]},
        {"backbone": "small", "actions": 6},
        {"backbone": "small", "shape": [4, 84], "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84, 84], "actions": 6},
        {"backbone": "small", "shape": "4, 84, 84", "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84.0], "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84], "actions": True},
        {"backbone": "small", "shape": [4, 84, 84], "actions": 0},
        {"backbone": "small", "shape": [4, -84, 84], "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84], "actions": 5_000},
        {"backbone": "small", "shape": [4, 10**9, 84], "actions": 6},
        {"backbone": "small", "shape": [4, 84, 84], "actions": 6, "dueling": "no"},
        {"backbone": "small", "shape": [4, 84, 84], "actions": 6, "dueling": 1},
        {"backbone": "small", "shape": [4, 35, 84], "actions": 6},
        {"backbone": "impala", "shape": [4, 84, 84], "actions": 6},
        {"backbone": "16x8s4-", "shape": [4, 84, 84], "actions": 6},
        {"backbone": "16x8s4-\n\n-32", "shape": [4, 84, 84], "actions": 6},
        {"backbone": "-".join(["1x1s1"] * 10_000), "shape": [4, 84, 84], "actions": 6},
        {"backbone": "9999x1s1-p-1", "shape": [1, 4_096, 4_096], "actions": 1},  # a map of 10^11 numbers
        {"backbone": "1x99s1-1", "shape": [2, 4_000, 4_000], "actions": 1},  # windows of 10^11 numbers
    ],
)
def test_headers_that_describe_no_network_are_refused(network: Any) -> None:
    header = {"network": network} if network is not None else {}
    for refuse in (shapes_of, lambda header: NumpyNetwork(Packed(header, {}))):
        with pytest.raises(CheckpointError) as caught:
            refuse(header)
        message = str(caught.value)
        assert "\n" not in message
        assert 20 < len(message) < 500
    with pytest.raises(CheckpointError):
        read(write(header, {}, named=False), shapes_of)


def test_a_header_that_promises_a_huge_network_is_refused() -> None:
    header = header_of("9999x9s1-99999", (64, 84, 84), False)
    with pytest.raises(CheckpointError, match=r"refused"):
        read(write(header, {}, named=False), shapes_of)


def test_tensors_of_another_network_are_refused() -> None:
    network = torch_network("3x1s1-4x2s3-9", (2, 7, 12), dueling=False)
    header, tensors = header_of("3x1s1-4x2s3-9", (2, 7, 12), False), floats(network)
    packed = read(write(header, tensors, named=True))
    assert NumpyNetwork(packed)(frames(1, (2, 7, 12))).shape == (1, 5)
    other = tensors | {"advantage.bias": coded.constant(0.0, (1,))}
    fewer = {name: tensor for name, tensor in tensors.items() if name != "backbone.conv.2.bias"}
    for wrong in (other, fewer, tensors | {"plan": coded.constant(0.0, ())}):
        with pytest.raises(CheckpointError, match="does not hold the tensors of its network"):
            NumpyNetwork(read(write(header, wrong, named=True)))


def test_frames_of_another_shape_are_refused() -> None:
    network = torch_network("3x1s1-4x2s3-9", (2, 7, 12), dueling=False)
    packed = read(write(header_of("3x1s1-4x2s3-9", (2, 7, 12), False), floats(network), named=False), shapes_of)
    with pytest.raises(ValueError, match=r"reads frames of \(2, 7, 12\), not \(2, 12, 7\)"):
        NumpyNetwork(packed)(frames(3, (2, 12, 7)))

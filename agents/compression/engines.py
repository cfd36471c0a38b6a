"""A policy on several engines: torch, numpy, ONNX Runtime in float32 and in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from agents.compression.policy_file import PackedPolicy
from agents.compression.teacher import Teacher
from agents.rl.interfaces import Policy
from agents.rl.q_networks import MeanQNetwork, QEnsemble
from agents.training.env_runner import VectorEnvRunner
from rl_gen_lab.compression import onnx_export
from rl_gen_lab.compression.binary_kernel import pack_signs, products
from rl_gen_lab.compression.latency import Engine, torch_engine
from rl_gen_lab.compression.numpy_network import NumpyNetwork
from rl_gen_lab.compression.packed_file import NAMES
from rl_gen_lab.compute.seeding import Generators

LAYER_SIZE = (3_136, 512)  # inputs and outputs of the fully connected layer of Mnih et al. 2015
LAYER, BINARY = f"layer {LAYER_SIZE[0]} x {LAYER_SIZE[1]}", "numpy, signs"
NUM_ENVS, STEPS_BETWEEN = 16, 20  # of the play that calibrates: frames of one state after another hardly differ


def engines_of(packed: PackedPolicy, folder: Path, frames: np.ndarray) -> dict[str, Engine]:
    """Return the engines of a packed policy by name; ONNX models are written into the folder.

    frames: observations (N, C, H, W) uint8 of its play, which calibrate the 8 bits. Raises: ConfigError without ONNX
    Runtime.
    """
    engines: dict[str, Engine] = {"torch": torch_engine(packed.network)}
    if NAMES not in packed.packed.header:
        engines["numpy"] = NumpyNetwork(packed.packed)
    return engines | onnx_engines(packed.network, frames.shape[1:], folder, frames)


def onnx_engines(
    network: torch.nn.Module, shape: tuple[int, ...], folder: Path, frames: np.ndarray
) -> dict[str, Engine]:
    """Return a network of frames on ONNX Runtime, in float32 and in 8 bits, as in `engines_of`."""
    plain, small = folder / "policy.onnx", folder / "policy_int8.onnx"
    onnx_export.export(network, shape, plain, dtype=torch.uint8)
    onnx_export.quantize(plain, small, frames)
    return {"onnxruntime": onnx_export.load(plain), "onnxruntime int8": onnx_export.load(small)}


def teacher_engines(teacher: Teacher) -> dict[str, Engine]:
    """Return torch's engines of a run's agent: of one network, and of all that decide together where there are more."""
    engines: dict[str, Engine] = {"torch, one network of the run": teacher.scores}
    if isinstance(teacher.network, MeanQNetwork | QEnsemble):
        engines["torch, one network of the run"] = torch_engine(teacher.network.newest.members[0])
        engines["torch, all networks of the run"] = teacher.scores
    return engines


def layer_engines(seed: int) -> tuple[dict[str, Engine], np.ndarray]:
    """Return a fully connected layer in float32 and as products of signs, and an input (1, n) for both."""
    inputs, outputs = LAYER_SIZE
    rng = np.random.default_rng(seed)
    weight, example = (rng.standard_normal(shape, np.float32) for shape in ((outputs, inputs), (1, inputs)))
    layer, signs = torch.nn.Linear(inputs, outputs, bias=False), pack_signs(weight)
    layer.weight.data = torch.from_numpy(weight)
    engines: dict[str, Engine] = {
        "torch": torch_engine(layer),
        "numpy": lambda x: x @ weight.T,
        BINARY: lambda x: products(pack_signs(x), signs, inputs),
    }
    return engines, example


def layer_bytes(engine: str) -> int:
    """Return what the weights of `layer_engines` take."""
    inputs, outputs = LAYER_SIZE
    return inputs * outputs // 8 if engine == BINARY else 4 * inputs * outputs


def frames_of_play(packed: PackedPolicy, count: int, seed: int) -> np.ndarray:
    """Return observations (count, C, H, W) uint8 of a policy's own play."""
    generators = Generators(seed)
    runner = VectorEnvRunner(packed.env, NUM_ENVS, packed.world, generators)
    rng = generators.numpy("calibration")
    kept: list[np.ndarray] = []
    try:
        for step in range(-(-count // NUM_ENVS) * STEPS_BETWEEN):
            actions = packed.policy.act(runner.obs)
            chance = rng.random(NUM_ENVS) < 0.01  # games part
            actions[chance] = rng.integers(0, int(packed.header["network"]["actions"]), int(chance.sum()))
            runner.step(actions)
            if step % STEPS_BETWEEN == 0:
                kept.append(runner.obs.copy())
    finally:
        runner.close()
    return np.concatenate(kept)[:count]


def policy_of(engine: Engine) -> Policy:
    """Return an engine of action values as a greedy policy."""
    return Policy(lambda obs: engine(obs).argmax(1), engine)

"""Networks as ONNX files, in float32 and in 8-bit integers, and an engine that runs them on the CPU.

ONNX Runtime leaves out what torch does around each operation, which is most of the time of a small network at batch 1.
It is an optional extra, imported only where a function here is called.
"""

from __future__ import annotations

import copy
import importlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression.latency import Engine
from rl_gen_lab.runs.files import replace_file

CALIBRATION_BATCH = 32  # frames that calibration holds in memory at a time
# Quantized are these alone: sums of a residual or of the two heads of a dueling network lose more than they gain.
QUANTIZED = ["Conv", "Gemm", "MatMul", "Relu", "MaxPool"]
# How the warnings begin that torch gives for the exporter in use. The newer one needs a further package, onnxscript.
DEPRECATIONS = ("You are using the legacy TorchScript-based ONNX export", "The feature will be removed")
FIXED_VALUE = "Converting a tensor to a Python"  # begins the warnings of values that Python looks at while tracing
TRACED_BATCH, CHECKED_BATCHES = 2, (1, 5)


def export(network: nn.Module, shape: tuple[int, ...], path: Path, *, dtype: torch.dtype) -> None:
    """Write a network as an ONNX model of float32 weights whose batch is free, whole or not at all.

    The network is traced in evaluation mode, and the model's outputs are compared with the network's before the file
    is written. network: one tensor (B, *shape) in, one tensor out; stays as it is.
    shape: of one observation. dtype: of observations, uint8 for frames or float32 for vectors.
    Raises: ConfigError without ONNX Runtime or for a network that cannot be traced; SaveError.
    """
    with _extra():  # before the work
        importlib.import_module("onnxruntime")
    network = copy.deepcopy(network).cpu().eval()

    @torch.no_grad()
    def write(new: Path) -> None:
        _trace(network, _example(TRACED_BATCH, shape, dtype), new)
        run = load(new)
        for batch in CHECKED_BATCHES:
            _check(network, run, _example(batch, shape, dtype))

    replace_file(path, write)


def quantize(path: Path, out: Path, frames: np.ndarray) -> None:
    """Write the ONNX model of the file `path` with 8-bit weights and activations, whole or not at all.

    Weights are symmetric, with a scale for each output channel, and use 7 of the 8 bits: processors without VNNI
    instructions add two products in 16 bits, which 8 would overflow without a word. Activations are uint8 with the
    range that they take over the frames. Sums, and what the last layer returns, stay float32. Source: Jacob et al.
    2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.1;
    post-training, in pairs of QuantizeLinear and DequantizeLinear.
    frames: (N, *shape), of the type that the model reads, such as it will meet.
    Raises: ConfigError without onnx and ONNX Runtime, or without frames; CheckpointError for a damaged file; SaveError.
    """
    with _extra():
        preparation = importlib.import_module("onnxruntime.quantization.shape_inference")
        quantization = importlib.import_module("onnxruntime.quantization")
    if not len(frames):
        raise ConfigError("8-bit activations need frames that show their range: give at least one")
    name = _session(path, threads=1).get_inputs()[0].name

    def write(new: Path) -> None:
        with tempfile.TemporaryDirectory() as folder, _without_logging():
            prepared = Path(folder) / "prepared.onnx"
            preparation.quant_pre_process(path, prepared, skip_symbolic_shape=True)  # needed by no network here
            quantization.quantize_static(
                prepared,
                new,
                _Batches(name, frames),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=QUANTIZED,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
            )

    replace_file(out, write)


def load(path: Path, threads: int = 1) -> Engine:
    """Return the model of an ONNX file as a function on the CPU: (B, *shape) of its type -> its output, float32.

    Raises: ConfigError without ONNX Runtime; CheckpointError for a file that is missing or damaged.
    """
    session = _session(path, threads)
    name = session.get_inputs()[0].name

    def run(observations: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {name: observations})[0]
        return output

    return run


class _Batches:
    """Frames as ONNX Runtime's calibration reads them."""

    def __init__(self, name: str, frames: np.ndarray) -> None:
        starts = range(0, len(frames), CALIBRATION_BATCH)
        self.batches = iter([{name: frames[start : start + CALIBRATION_BATCH]} for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the inputs of the next batch, None after the last."""
        return next(self.batches, None)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed; ONNX models need an optional extra:"
            ' pip install -c constraints.txt -e ".[onnx]"'
        ) from error


def _example(batch: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return random observations, (batch, *shape), different ones for each batch."""
    generator = torch.Generator().manual_seed(batch)
    if dtype == torch.uint8:
        return torch.randint(0, 256, (batch, *shape), dtype=dtype, generator=generator)
    return torch.randn((batch, *shape), dtype=dtype, generator=generator)


def _trace(network: nn.Module, example: Tensor, file: Path) -> None:
    """Write the ONNX model that a network's calculation on an example shows."""
    axes = {name: {0: "batch"} for name in ("observation", "output")}
    with warnings.catch_warnings():
        for beginning in DEPRECATIONS:
            warnings.filterwarnings("ignore", beginning, DeprecationWarning)
        warnings.filterwarnings("ignore", FIXED_VALUE)  # sizes of images may be fixed, and `_check` finds the others
        torch.onnx.export(
            network,
            (example,),
            file,
            input_names=["observation"],
            output_names=["output"],
            dynamic_axes=axes,
            dynamo=False,
        )


def _check(network: nn.Module, run: Engine, example: Tensor) -> None:
    expected, found = network(example).numpy(), run(example.numpy())
    tolerance = 1e-3 * np.abs(expected).max()
    if expected.shape != found.shape or not np.allclose(expected, found, rtol=0, atol=tolerance):
        raise ConfigError(
            f"{type(network).__name__} cannot be an ONNX model: what it computes depends on the size of the batch or"
            " on values that Python looks at; run it with torch"
        )


def _session(path: Path, threads: int) -> Any:
    """Open a model for the CPU."""
    with _extra():
        runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        return runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # ONNX Runtime's errors have no common base
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged or no ONNX model: {reason}") from error


@contextmanager
def _without_logging() -> Iterator[None]:
    """Keep ONNX Runtime's advice to its developers off the screen, and it from adding a handler to the root logger."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [logging.NullHandler()]
    try:
        yield
    finally:
        root.handlers = handlers

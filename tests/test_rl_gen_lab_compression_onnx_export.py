"""ONNX files: outputs as torch's, 8-bit ones close to them, whole files, and one clear line for what is wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.rl.q_networks import QEnsemble, QNetwork
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, SaveError
from rl_gen_lab.compression import onnx_export
from rl_gen_lab.compression.onnx_export import export, load, quantize

pytest.importorskip("onnxruntime", reason="an optional extra: pip install -e '.[onnx]'")
onnx = pytest.importorskip("onnx", reason="an optional extra: pip install -e '.[onnx]'")

FRAMES, CELLS, VECTOR = (4, 84, 84), (3, 10, 10), (5,)


def game_frames(count: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Bright rectangles on a gray field."""
    rng = np.random.default_rng(seed)
    frames = np.full((count, *shape), 87, np.uint8)
    size = shape[1] // 6
    for frame in frames:
        for y, x in rng.integers(0, shape[1] - size, (4, 2)):
            frame[:, y : y + size, x : x + size // 2 + 1] = rng.integers(120, 256)
    return frames


def q_network(backbone: str, shape: tuple[int, ...], seed: int = 0) -> QNetwork:
    torch.manual_seed(seed)
    network = QNetwork(backbone, shape, 6, dueling=True)
    if len(shape) == 3:
        network.standardize(torch.from_numpy(game_frames(100, (1, *shape[1:]), seed)))
    return network


def torch_outputs(network: nn.Module, observations: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        outputs: np.ndarray = network(torch.from_numpy(observations)).numpy()
    return outputs


@pytest.mark.parametrize("backbone", ["nature", "small", "squeezenet"])
def test_the_model_returns_what_torch_returns_for_any_batch_of_frames(backbone: str, tmp_path: Path) -> None:
    network = q_network(backbone, FRAMES)
    export(network, FRAMES, tmp_path / "a.onnx", dtype=torch.uint8)
    run = load(tmp_path / "a.onnx")
    for batch in (1, 7):
        frames = np.random.default_rng(batch).integers(0, 256, (batch, *FRAMES), np.uint8)
        before, outputs = frames.copy(), run(frames)
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, torch_outputs(network, frames), rtol=0, atol=1e-4)
        assert np.array_equal(frames, before)


def test_vectors_and_files_in_new_folders_work_too(tmp_path: Path) -> None:
    network, file = q_network("mlp", VECTOR), tmp_path / "new" / "a.onnx"
    export(network, VECTOR, file, dtype=torch.float32)
    observations = np.random.default_rng(0).standard_normal((7, *VECTOR), np.float32)
    np.testing.assert_allclose(load(file)(observations), torch_outputs(network, observations), rtol=0, atol=1e-4)


def test_an_ensemble_exports_the_members_that_it_has(tmp_path: Path) -> None:
    ensemble = QEnsemble(q_network("tiny", CELLS), snapshots=3)
    ensemble.snapshot()
    with torch.no_grad():
        ensemble.newest.advantage.bias += torch.arange(6.0)
    export(ensemble, CELLS, tmp_path / "a.onnx", dtype=torch.uint8)
    frames = game_frames(7, CELLS, 1)
    np.testing.assert_allclose(load(tmp_path / "a.onnx")(frames), torch_outputs(ensemble, frames), rtol=0, atol=1e-4)


def test_the_network_stays_as_it_is(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(5, 64), nn.Dropout(0.5), nn.BatchNorm1d(64))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export(network, VECTOR, tmp_path / "a.onnx", dtype=torch.float32)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    observations = np.ones((3, *VECTOR), np.float32)
    expected = torch_outputs(network.eval(), observations)  # without dropout
    np.testing.assert_allclose(load(tmp_path / "a.onnx")(observations), expected, rtol=0, atol=1e-4)


def test_the_exporter_is_the_one_that_needs_no_further_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns that it will go, twice: when it does, or warns otherwise, the choice has to be made again."""
    options: dict[str, Any] = {}
    real = torch.onnx.export

    def spy(*arguments: Any, **given: Any) -> None:
        options.update(given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            real(*arguments, **given)
        messages = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
        options["known"] = {
            beginning for beginning in onnx_export.DEPRECATIONS for message in messages if message.startswith(beginning)
        }
        options["unknown"] = [
            message for message in messages if not message.startswith(tuple(onnx_export.DEPRECATIONS))
        ]

    monkeypatch.setattr(torch.onnx, "export", spy)
    export(q_network("mlp", VECTOR), VECTOR, tmp_path / "a.onnx", dtype=torch.float32)
    assert options["dynamo"] is False
    assert options["known"] == set(onnx_export.DEPRECATIONS) and not options["unknown"]


def test_only_the_expected_warnings_are_kept_quiet(tmp_path: Path) -> None:
    class Deprecated(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                warnings.warn("another thing will go", DeprecationWarning, stacklevel=1)
            return super().forward(x)

    with pytest.raises(DeprecationWarning, match="another thing"):
        export(Deprecated(5, 2), VECTOR, tmp_path / "a.onnx", dtype=torch.float32)
    assert not list(tmp_path.iterdir())


class BatchSize(nn.Linear):
    """Python looks at the size of the batch, which tracing fixes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * int(x.shape[0])


class Branch(nn.Linear):
    """Python looks at a value, which tracing fixes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


@pytest.mark.parametrize("kind", [BatchSize, Branch])
def test_a_network_that_tracing_gets_wrong_is_refused_and_the_old_file_stays(
    kind: type[nn.Linear], tmp_path: Path
) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"before")
    with pytest.raises(ConfigError, match=rf"^{kind.__name__} cannot be an ONNX model.*run it with torch$"):
        export(kind(5, 2), VECTOR, file, dtype=torch.float32)
    assert list(tmp_path.iterdir()) == [file] and file.read_bytes() == b"before"


def test_a_folder_in_the_file_s_place_is_a_save_error(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="could not save"):
        export(q_network("mlp", VECTOR), VECTOR, tmp_path, dtype=torch.float32)


@pytest.mark.parametrize(("backbone", "shape"), [("small", FRAMES), ("tiny", CELLS)])
def test_8_bits_stay_close_and_choose_the_same_actions(backbone: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    network, file, small = q_network(backbone, shape), tmp_path / "a.onnx", tmp_path / "b.onnx"
    export(network, shape, file, dtype=torch.uint8)
    quantize(file, small, game_frames(100, shape, 1))
    frames = game_frames(200, shape, 2)
    exact, coarse = load(file)(frames), load(small)(frames)
    assert coarse.dtype == np.float32
    # Errors against how much the values of an action vary from frame to frame.
    spread = exact.std(0).mean()
    assert 0 < np.sqrt(np.square(coarse - exact).mean()) < 0.15 * spread
    assert (coarse.argmax(1) == exact.argmax(1)).mean() > 0.9
    assert small.stat().st_size < 0.4 * file.stat().st_size


def test_weights_are_int8_symmetric_with_a_scale_for_each_channel(tmp_path: Path) -> None:
    network, small = q_network("tiny", CELLS), tmp_path / "b.onnx"
    export(network, CELLS, tmp_path / "a.onnx", dtype=torch.uint8)
    quantize(tmp_path / "a.onnx", small, game_frames(40, CELLS, 1))
    model = onnx.load(small)
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    assert len(layers) == 3
    for name, layer in layers.items():
        levels, scale = arrays[f"{name}.weight_quantized"], arrays[f"{name}.weight_scale"]
        assert levels.dtype == np.int8 and not arrays[f"{name}.weight_zero_point"].any()
        assert scale.shape == (layer.out_features,)
        error = np.abs(levels * scale[:, None] - layer.weight.detach().numpy())
        assert (error <= 0.5001 * scale[:, None]).all()


def test_what_an_agent_compares_is_not_rounded(tmp_path: Path) -> None:
    """Behind the heads of a dueling network nothing is 8-bit; before them, layers read what was quantized."""
    export(q_network("tiny", CELLS), CELLS, tmp_path / "a.onnx", dtype=torch.uint8)
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", game_frames(40, CELLS, 1))
    nodes = onnx.load(tmp_path / "b.onnx").graph.node  # sorted: a node stands behind those that it reads
    writers = {output: node.op_type for node in nodes for output in node.output}
    layers = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 4
    assert all(writers[name] == "DequantizeLinear" for node in layers for name in node.input)
    behind = {output for node in layers[-2:] for output in node.output}
    for node in nodes:
        if behind & set(node.input):
            assert node.op_type != "QuantizeLinear"
            behind |= set(node.output)
    assert "output" in behind


class Skip(nn.Linear):
    """Its Gemm has a bias that is not constant, of which ONNX Runtime warns."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(x, x, self.weight)


def test_quantizing_is_quiet_and_leaves_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("work", "temporary", "models"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as outside of tests: the first message then adds one
    file, small = tmp_path / "models" / "a.onnx", tmp_path / "models" / "b.onnx"
    export(Skip(5, 5), VECTOR, file, dtype=torch.float32)
    before = file.read_bytes()
    quantize(file, small, np.random.default_rng(0).standard_normal((40, *VECTOR), np.float32))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == []
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {file, small}
    assert file.read_bytes() == before


def test_all_frames_count_for_the_range_of_activations(tmp_path: Path) -> None:
    """The only bright frame stands at the end of the last, incomplete batch; without it its outputs are cut off."""
    network, file = q_network("tiny", CELLS), tmp_path / "a.onnx"
    export(network, CELLS, file, dtype=torch.uint8)
    dark = game_frames(onnx_export.CALIBRATION_BATCH + 2, CELLS, 1) // 4
    bright = np.full((1, *CELLS), 255, np.uint8)
    exact = load(file)(bright)
    errors = []
    for number, frames in enumerate((np.concatenate((dark, bright)), dark)):
        quantize(file, tmp_path / f"{number}.onnx", frames)
        errors.append(np.abs(load(tmp_path / f"{number}.onnx")(bright) - exact).max() / np.abs(exact).max())
    assert errors[0] < 0.05 < 0.2 < errors[1]


def test_quantizing_needs_frames(tmp_path: Path) -> None:
    export(q_network("tiny", CELLS), CELLS, tmp_path / "a.onnx", dtype=torch.uint8)
    with pytest.raises(ConfigError, match="at least one"):
        quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", np.zeros((0, *CELLS), np.uint8))
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "missing", "folder"])
def test_a_damaged_file_is_named_in_one_line(damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.onnx"
    export(q_network("mlp", VECTOR), VECTOR, file, dtype=torch.float32)
    content = {"empty": b"", "cut": file.read_bytes()[:-1000], "text": b"no model\n" * 30}
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage in content:
        file.write_bytes(content[damage])
    for read in (lambda: load(file), lambda: quantize(file, tmp_path / "b.onnx", np.zeros((1, *VECTOR), np.float32))):
        with pytest.raises(CheckpointError, match=r"a\.onnx") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_without_the_extra_one_line_says_how_to_install_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, file = q_network("mlp", VECTOR), tmp_path / "a.onnx"
    export(network, VECTOR, file, dtype=torch.float32)
    frames = np.zeros((1, *VECTOR), np.float32)
    if name == "onnx":  # imported by a part of ONNX Runtime, which other tests have loaded
        for loaded in [module for module in sys.modules if module.startswith("onnxruntime.quantization")]:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)
    calls = [lambda: quantize(file, tmp_path / "b.onnx", frames)]
    if name == "onnxruntime":
        calls += [lambda: load(file), lambda: export(network, VECTOR, file, dtype=torch.float32)]
    for call in calls:
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value).startswith(f"{name} is not installed")
        assert str(caught.value).endswith('pip install -c constraints.txt -e ".[onnx]"')
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_importing_the_module_imports_no_onnx() -> None:
    code = "import sys, rl_gen_lab.compression.onnx_export; print({'onnx', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""Packing as it is, and where the bytes of a file go."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_rl_gen_lab_compress import trained

from rl_gen_lab import pack
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.training.load import load_task


@pytest.mark.parametrize(("bits", "error"), [(32, 0.0), (16, 1e-3), (8, 5e-3)])
def test_a_model_is_packed_to_so_many_bits(tmp_path: Path, bits: int, error: float) -> None:
    file = tmp_path / "unet.rlz"
    pack.main([str(trained()), "--out", str(file), "--bits", str(bits)])
    before, after = (load_task(path, "segment").network.state_dict() for path in (trained(), file))
    numbers = sum(tensor.numel() for tensor in before.values())
    assert list(before) == list(after) and file.stat().st_size < numbers * bits / 8 * 1.1 + 12_000
    for name, tensor in before.items():
        scale = float(tensor.float().abs().max().clamp_min(1e-9))
        assert torch.allclose(tensor.float(), after[name].float(), atol=error * scale, rtol=0), name


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_counters_and_large_numbers_keep_their_values(bits: int) -> None:
    counter, variance = np.array(16_777_215), np.array([1e-9, 9e8], np.float32)
    for name, array in (("norm.num_batches_tracked", counter), ("norm.running_var", variance)):
        assert (pack._coded(name, array, bits).values() == array).all()
    weights = np.array([[70_000.0, 1.0]], np.float32)  # more than 16 bits hold
    assert np.allclose(pack._coded("fc.weight", weights, bits).values(), weights, atol=70_000 / 254)


def test_a_model_after_very_many_updates_is_packed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained(), run)
    file = run / "checkpoints" / "best.safetensors"
    weights, metadata = load_weights(file)
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    save_weights(file, weights | {name: torch.tensor(100_001) for name in counters}, metadata)
    pack.main([str(run), "--out", str(tmp_path / "unet.rlz"), "--bits", "16"])
    network = load_task(tmp_path / "unet.rlz", "segment").network
    assert counters and all(int(network.state_dict()[name]) == 100_001 for name in counters)


def test_the_bytes_of_a_file_are_explained_to_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "unet.rlz"
    pack.main([str(trained()), "--out", str(file), "--bits", "8"])
    capsys.readouterr()
    pack.main(["--explain", str(file)])
    *table, total, others = capsys.readouterr().out.splitlines()
    size, *parts = (float(n.replace(",", "")) for n in re.findall(r"[\d,]+\.?\d*", total) if n.strip(","))
    assert size == file.stat().st_size and abs(sum(parts) - size) < 1.5
    assert len(table) == 1 + len(load_task(file, "segment").network.state_dict()) and "order-0" in table[0]
    assert "Huffman" in others


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--explain FILE.rlz"),
        (["runs/RUN"], "belong together"),
        (["runs/RUN", "--out", "model.bin"], "named .rlz"),
        (["--explain", "nothing.rlz"], "nothing.rlz: No such file"),
    ],
)
def test_refusals(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pack.main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err

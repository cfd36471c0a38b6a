"""Pack a trained network into one file, or say where the bytes of a packed file go.

    python -m rl_gen_lab.pack runs/segment_unet__pong_5000_0__0__20260101-120000 --out unet.rlz
    python -m rl_gen_lab.pack runs/segment_unet__pong_5000_0__0__20260101-120000 --bits 8 --out unet8.rlz
    python -m rl_gen_lab.pack --explain models/pong.rlz

Nothing is learned here: a model keeps its 32 bits a weight, or is rounded to fewer. `rl_gen_lab.compress` and
`agents.compress` prune and quantize while the network learns, and leave files of the same format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np

    from rl_gen_lab.compression.coded import CodedTensor
    from rl_gen_lab.compression.packed_file import Packed

LARGEST_HALF = 65_504.0  # of 16 bits


@dataclass(frozen=True)
class Config(Ranged):
    """Pack a vision model or a generator, or explain a packed file."""

    # Run folder of a trained model.
    run: Annotated[Path | None, tyro.conf.Positional] = None
    # The packed file to write.
    out: Path | None = None
    # Bits of a weight: 32 or 16, floating point; 8, evenly spaced levels.
    bits: Literal[32, 16, 8] = 32
    # Say where each byte of this packed file goes.
    explain: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if (self.run is None) == (self.explain is None):
            raise ConfigError("name a run folder and --out FILE.rlz, or --explain FILE.rlz")
        if (self.run is None) != (self.out is None):
            raise ConfigError("--out FILE.rlz and a run folder belong together")
        if self.out is not None and self.out.suffix != ".rlz":
            raise ConfigError(f"--out {self.out}: packed files are named .rlz, by which other commands know them")


def pack(config: Config) -> bytes:
    """Return the packed file of a run's model. Raises: CheckpointError."""
    from rl_gen_lab.compression.packed_file import write
    from rl_gen_lab.training.load import load_task, task_of
    from rl_gen_lab.training.packed_run import KEPT, check_run
    from rl_gen_lab.training.tasks import TASKS

    assert config.run is not None
    task = load_task(config.run, *TASKS)
    saved, name = RunFolder.open(config.run).read_config(), task_of(RunFolder.open(config.run))
    header = {key: saved[key] for key in KEPT if key in saved}
    header["config"] = {key: saved["config"].get(key, {}) for key in ("task", name)}
    check_run(header, tuple(TASKS))
    tensors = {}
    for key, tensor in task.network.state_dict().items():
        tensors[key] = _coded(key, tensor.numpy(), config.bits)
    return write({"run": header}, tensors, named=True)


def _coded(name: str, array: np.ndarray, bits: int) -> CodedTensor:
    """Return a tensor of so many bits a weight; counters, scales and statistics keep their 32."""
    from rl_gen_lab.compression import coded
    from rl_gen_lab.compression.layers import STATISTICS

    if array.dtype.kind != "f" or array.ndim == 0 or name.endswith(STATISTICS):
        return coded.plain(array)
    if bits == 8 and array.ndim >= 2:
        return coded.eight_bits(array)
    return coded.plain(array, half=bits == 16 and float(abs(array).max(initial=0.0)) <= LARGEST_HALF)


def explain(path: Path) -> str:
    """Return a table of the bytes of a packed file, tensor by tensor. Raises: CheckpointError."""
    from rl_gen_lab.compression.numpy_network import shapes_of
    from rl_gen_lab.compression.packed_file import NAMES, opened, read, read_header

    with opened(path) as data:
        header, _ = read_header(data)
        packed = read(data, None if NAMES in header else shapes_of)
        return _table(packed, len(data))


def _table(packed: Packed, size: int) -> str:
    import numpy as np

    from rl_gen_lab.compression.measured import sizes

    names = max(len(name) for name in (*packed.tensors, "tensor"))
    head = ("shape", "kind", "nonzero", "floats", "codes", "order-0")
    lines = [f"{'tensor':{names}}  {head[0]:>14} {head[1]:>9} {head[2]:>9} {head[3]:>8} {head[4]:>9} {head[5]:>9}"]
    for name, tensor in packed.tensors.items():
        floats, codes = packed.bytes_by_part[f"{name} floats"], packed.bytes_by_part.get(f"{name} codes", 0.0)
        bound = "" if tensor.codes is None else f"{tensor.order0_bytes():.1f}"
        shape, nonzero = "x".join(map(str, tensor.shape)), int(np.count_nonzero(tensor.values()))
        lines.append(
            f"{name:{names}}  {shape:>14} {tensor.kind:>9} {nonzero:>9,} {floats:>8,.0f} {codes:>9,.1f} {bound:>9}"
        )
    total = sizes(packed.tensors)
    parts = packed.bytes_by_part
    codes = sum(value for key, value in parts.items() if key.endswith(" codes"))
    floats = sum(value for key, value in parts.items() if key.endswith(" floats"))
    rest = size - parts["header"] - parts["checksum"] - codes - floats
    lines += [
        f"{size:,} bytes: header {parts['header']:,.0f}, kinds and floats {floats:,.0f}, codes {codes:,.1f},"
        f" end of the stream {rest:,.1f}, checksum {parts['checksum']:,.0f}"
    ]
    if total["xz_bytes"] == "":  # weights are stored in floats
        return "\n".join(lines)
    lines += [
        f"codes by other means: order-0 bound {total['order0_bytes']:,}, Huffman {total['huffman_bytes']:,},"
        f" Huffman with relative indices {total['deep_compression_bytes']:,}, xz {total['xz_bytes']:,} bytes",
    ]
    return "\n".join(lines)


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Pack, or explain."""
    config = parse_flags(Config, argv, description=__doc__)
    if config.explain is not None:
        print(explain(config.explain))
        return
    from rl_gen_lab.runs.files import replace_file

    data = pack(config)
    assert config.out is not None
    replace_file(config.out, lambda path: path.write_bytes(data))
    print(f"{config.out}: {len(data):,} bytes")


if __name__ == "__main__":
    main()

"""Packed files whose header was changed, with a right checksum: an error of one line, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

SCRIPT = Path(__file__).parent / "packed_mutations.py"
# take each so many-th mutation only, and of what
SAMPLES = (("97", "unet"), ("301", "captioner"), ("13", "2x8s4-4"))


def outcomes(*words: str) -> list[str]:
    """Read mutations in a process with little memory; the last line says how many."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return [line for line in done.stdout.splitlines() if "left out, for this version" not in line]


def test_a_sample_of_mutated_headers_is_refused_in_one_line() -> None:
    *wrong, count = outcomes(*(word for sample in SAMPLES for word in sample))
    assert not wrong
    assert int(count.split()[0].replace(",", "")) > 90


@pytest.mark.slow
def test_a_larger_sample_of_every_kind() -> None:
    names = (
        "unet",
        "fcn",
        "ssd",
        "faster-rcnn",
        "captioner",
        "classifier",
        "localizer",
        "vae",
        "vq-vae",
        "gmm",
        "pca",
        "squeezenet",
        "small",
    )
    *wrong, _ = outcomes(*(word for name in names for word in ("37", name)))
    assert not wrong

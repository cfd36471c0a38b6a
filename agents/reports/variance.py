"""The figure of a measurement of policy-gradient estimators: variance and bias of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLORS = ("#56B4E9", "#009E73", "#E69F00", "#000000")  # of the discounts; Okabe & Ito 2008


@dataclass(frozen=True)
class VarianceRow:
    """An estimator (kind of baseline, or "gae" with `lambda_`; discount) and its quality relative to the gradient."""

    kind: str
    gamma: float
    lambda_: float
    variance: float
    bias: float
    noise: float


def draw_variance(rows: Sequence[VarianceRow], title: str, file: Path) -> None:
    """Draw variance and bias by baseline and discount, and along lambda, as PNG."""
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    discounts = sorted({row.gamma for row in rows})
    baselines = list(dict.fromkeys(row.kind for row in rows if row.kind != "gae"))
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    for number, (gamma, color) in enumerate(zip(discounts, COLORS, strict=True)):
        bars = [row for row in rows if row.gamma == gamma and row.kind != "gae"]
        traces = [row for row in rows if row.gamma == gamma and row.kind == "gae"]
        place, lambdas = np.arange(len(bars)) + 0.2 * (number - 1.5), [row.lambda_ for row in traces]
        for axis, quantity in enumerate(("variance", "bias")):
            noise = [row.noise for row in bars], [row.noise for row in traces]
            left, right = noise if quantity == "bias" else (None, None)
            style = {"color": color, "label": f"discount {gamma:g}"}
            axes[axis, 0].bar(
                place, [getattr(row, quantity) for row in bars], 0.19, yerr=left, ecolor="#888888", **style
            )
            heights = [getattr(row, quantity) for row in traces]
            axes[axis, 1].errorbar(lambdas, heights, yerr=right, marker="o", elinewidth=0.7, **style)
    for axis, label in enumerate(("variance / |gradient|²", "bias / |gradient| (± noise)")):
        axes[axis, 0].set_ylabel(label)
        axes[axis, 0].set_xticks(np.arange(len(baselines)), baselines, rotation=20)
        axes[axis, 1].set_xlabel("lambda, with the learned value")
    axes[0, 0].set_yscale("log")
    axes[1, 0].set_ylim(bottom=0.0)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(discounts), frameon=False)
    for side in axes.flat:
        side.spines[["top", "right"]].set_visible(False)
        side.grid(color="#e6e6e6", linewidth=0.6)
        side.set_axisbelow(True)
    figure.suptitle(title)
    figure.savefig(file, dpi=160)

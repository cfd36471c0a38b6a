"""Environments that change torch for the whole process are refused, whenever they do so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import odd_envs
import odd_runs
import pytest
import torch


@pytest.mark.slow
@pytest.mark.parametrize("agent", odd_runs.AGENTS)
@pytest.mark.parametrize("when", [0, 2])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: torch.set_grad_enabled(False), "turned off torch's gradients"),
        (lambda: torch.set_default_dtype(torch.float64), "made torch.float64 torch's default"),
    ],
)
def test_an_environment_that_changes_torch_for_all_is_refused_in_one_line(
    change: Any, said: str, when: int, agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def observes(step: int) -> np.ndarray:
        if step == when:
            change()
        return np.zeros(3, np.float32)

    try:
        with odd_envs.registered(observes=observes) as name, pytest.raises(SystemExit) as stopped:
            odd_runs.run(agent, tmp_path, name)
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert stopped.value.code == 2 and name in line and said in line
    assert when or "sb3" in agent or not list(tmp_path.iterdir()), "nothing is left of a refusal before training"

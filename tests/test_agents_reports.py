"""Reports are made from files alone: no torch, no environments, no training."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [f"agents.reports.{file.stem}" for file in sorted((ROOT / "agents" / "reports").glob("[!_]*.py"))]
HEAVY = ("torch", "gymnasium", "ale_py", "envs", "agents.training", "stable_baselines3", "wandb")


def loaded_after(code: str) -> str:
    """Run code in a fresh interpreter; give the heavy modules that it has loaded."""
    code += f"\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr.strip()


def test_heavy_modules_are_noticed() -> None:
    assert loaded_after("import envs.names") == "['gymnasium', 'ale_py', 'envs']"


@pytest.mark.parametrize("statement", ["; ".join(f"import {module}" for module in MODULES), "import agents.results"])
def test_importing_reports_loads_nothing_heavy(statement: str) -> None:
    assert loaded_after(statement) == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--help", "--check"])
def test_the_command_of_results_loads_nothing_heavy(flag: str) -> None:
    code = f"""
import runpy, sys
sys.argv = ["results", "{flag}"]
try:
    runpy.run_module("agents.results", run_name="__main__")
except SystemExit as stop:
    assert "{flag}" == "--check" or not stop.code
"""
    assert loaded_after(code) == "[]"

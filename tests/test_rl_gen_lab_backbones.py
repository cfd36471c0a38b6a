"""Backbones by name: imported on demand, unknown names and wrong observations refused."""

import subprocess
import sys

import pytest

from rl_gen_lab.backbones import BACKBONES, SMALLEST_FRAME, build
from rl_gen_lab.backbones.convolutional import Small, Tiny
from rl_gen_lab.backbones.vector import MLP
from rl_gen_lab.cli.errors import ConfigError


def test_auto_is_a_network_that_fits_the_observation() -> None:
    assert isinstance(build("auto", (4, 84, 84)), Small)
    assert isinstance(build("auto", (4, SMALLEST_FRAME, 50)), Small)
    assert isinstance(build("auto", (4, 50, SMALLEST_FRAME - 1)), Tiny)
    assert isinstance(build("auto", (8,)), MLP)


def test_an_unknown_name_gets_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown backbone 'natur'; known: .*mlp.* Did you mean 'nature'") as caught:
        build("natur", (4, 84, 84))
    assert all(name in str(caught.value) for name in BACKBONES)


@pytest.mark.slow
def test_names_are_known_without_torch_and_a_family_is_imported_when_it_is_built() -> None:
    code = """
import sys, rl_gen_lab.backbones as b
assert "torch" not in sys.modules and "rl_gen_lab.backbones.vector" not in sys.modules
b.build("mlp_tanh", (4,))
families = {name for name in sys.modules if name.startswith("rl_gen_lab.backbones.")}
assert families == {"rl_gen_lab.backbones.vector"}, families
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "shape"), [("mlp", (4, 84, 84)), ("nature", (4,)), ("small", (84, 84)), ("nature", (4, 4, 84, 84))]
)
def test_observations_of_the_wrong_kind_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"backbone '{name}'|too small"):
        build(name, shape)

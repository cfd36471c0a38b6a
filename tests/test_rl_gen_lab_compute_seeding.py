"""Named generators: independent, stable, resumable."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.checkpoints import load_state, save_state


def numbers(generators: Generators) -> list[float]:
    return [
        float(generators.numpy("replay").random()),
        float(generators.numpy("noise").normal()),
        float(torch.rand(1, generator=generators.torch("init"))),
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_in_any_order_and_in_another_process() -> None:
    first = numbers(Generators(3))
    other = Generators(3)
    other.torch("init"), other.numpy("unrelated").random(), other.numpy("noise")
    assert numbers(other) == first
    code = (
        "import torch; from rl_gen_lab.compute.seeding import Generators as G; g = G(3)\n"
        "print([float(g.numpy('replay').random()), float(g.numpy('noise').normal()),"
        " float(torch.rand(1, generator=g.torch('init')))])"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(first)


def test_the_numbers_of_a_seed_never_change_between_versions() -> None:
    generators = Generators(0)
    assert generators.integer("env") == 918482892
    assert int(generators.numpy("replay").integers(2**31)) == 21228504
    assert int(torch.randint(2**31, (1,), generator=generators.torch("replay"))) == 1042537823


def test_seeds_and_names_give_different_streams() -> None:
    draws = {float(Generators(seed).numpy(name).random()) for seed in (0, 1, 2**40) for name in ("a", "b", "")}
    assert len(draws) == 9


def test_one_name_is_one_generator() -> None:
    generators = Generators(1)
    assert generators.numpy("a") is generators.numpy("a")
    assert generators.torch("a") is generators.torch("a", torch.device("cpu"))


def test_integers_have_no_state_and_no_collisions_of_padding() -> None:
    generators = Generators(5)
    asked = [("env",), ("env", 0), ("env", 1), ("env", 0, 0), ("env", 2**40), ("eval", 0)]
    values = [generators.integer(str(name), *map(int, index)) for name, *index in asked]
    assert len(set(values)) == len(values)
    assert values == [generators.integer(str(name), *map(int, index)) for name, *index in asked]
    assert all(0 <= generators.integer("env", index) < 2**31 for index in range(1000))
    assert generators.integer("env", np.int64(1).item()) == values[2]


def test_a_saved_state_continues_exactly_through_a_checkpoint(tmp_path: Path) -> None:
    generators = Generators(7)
    numbers(generators)
    generators.numpy("noise").integers(10, dtype=np.uint32)  # leaves half a word in the generator
    save_state(tmp_path / "last", {"generators": generators.state_dict()})
    expected = [numbers(generators) for _ in range(3)]
    resumed = Generators(0)
    resumed.load_state_dict(load_state(tmp_path / "last")["generators"])
    assert [numbers(resumed) for _ in range(3)] == expected
    assert resumed.integer("env", 4) == generators.integer("env", 4)


def test_holders_of_a_generator_see_the_loaded_state() -> None:
    generators = Generators(7)
    state = generators.state_dict()
    held, held_torch = generators.numpy("a"), generators.torch("a")
    first = held.random(), float(torch.rand(1, generator=held_torch))
    generators.load_state_dict(state)  # from before they were used: they start afresh
    assert (held.random(), float(torch.rand(1, generator=held_torch))) == first
    assert generators.numpy("a") is held and generators.torch("a") is held_torch


def test_saving_again_before_use_loses_nothing() -> None:
    generators = Generators(7)
    torch.rand(3, generator=generators.torch("a"))
    passed_on = Generators(7)
    passed_on.load_state_dict(generators.state_dict())
    final = Generators(7)
    final.load_state_dict(passed_on.state_dict())
    assert torch.equal(torch.rand(3, generator=final.torch("a")), torch.rand(3, generator=generators.torch("a")))


def test_a_foreign_state_is_refused() -> None:
    for state in (
        {},
        {"seed": 1, "numpy": {"a": {"bit_generator": "MT19937"}}, "torch": {}},
        {"seed": 1, "numpy": 3},
    ):
        with pytest.raises(CheckpointError, match="random generators"):
            Generators(1).load_state_dict(state)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed must be 0 or more, not -1"):
        Generators(-1)

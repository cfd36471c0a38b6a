"""Backbones written as text: the grammar, the shapes that it stands for, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.described import KNOWN, MOST_LAYERS, Description, parse
from rl_gen_lab.cli.errors import ConfigError

layers = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
descriptions = st.builds(
    Description, st.lists(layers, min_size=1, max_size=4).map(tuple), st.booleans(), st.integers(1, 20)
)


def written(description: Description) -> str:
    """The text of a description, by hand."""
    words = [f"{channels}x{kernel}s{stride}" for channels, kernel, stride in description.convolutions]
    return "-".join([*words, *(["p"] if description.profiles else []), str(description.units)])


@given(st.lists(st.tuples(st.integers(1, 9_999), st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=16))
def test_a_text_is_read_layer_by_layer(convolutions: list[tuple[int, int, int]]) -> None:
    for profiles in (False, True):
        description = Description(tuple(convolutions), profiles, 99_999)
        assert parse(written(description)) == description


def test_the_example_of_the_grammar() -> None:
    assert parse("16x8s4-32x4s2-p-256") == Description(((16, 8, 4), (32, 4, 2)), True, 256)
    assert parse("1x1s1-1") == Description(((1, 1, 1),), False, 1)


@settings(max_examples=40)
@given(descriptions, st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)))
def test_shapes_are_those_of_the_network_that_is_built(description: Description, shape: tuple[int, int, int]) -> None:
    text = written(description)
    try:
        found = parse(text).shapes(shape)
    except ConfigError as error:
        assert "too small" in str(error)
        with pytest.raises(ConfigError, match="too small"):
            build(text, shape)
        return
    network = build(text, shape)
    state = network.state_dict()
    assert list(found.items()) == [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    assert description.numbers(shape) == sum(tensor.numel() for tensor in state.values())
    frames = torch.zeros(2, *shape, dtype=torch.uint8)
    assert network(frames).shape == (2, description.units)
    for module in network.conv:
        frames = module(frames)
    assert tuple(frames.shape[1:]) == description.map_shape(shape) == description.maps(shape)[-1]
    assert len(description.maps(shape)) == len(description.convolutions) + 1


@pytest.mark.parametrize("name", KNOWN)
def test_known_names_stand_for_the_networks_of_these_names(name: str) -> None:
    shape = (5, 10, 10) if name == "tiny" else (4, 84, 84)
    torch.manual_seed(0)
    by_name = build(name, shape)
    torch.manual_seed(0)
    by_text = build(KNOWN[name], shape)
    assert parse(name) == parse(KNOWN[name])
    expected = {weight: tuple(tensor.shape) for weight, tensor in by_name.state_dict().items()}
    assert list(parse(name).shapes(shape).items()) == list(expected.items())
    frames = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(by_name(frames), by_text(frames))


def test_profiles_are_the_means_of_rows_and_of_columns() -> None:
    torch.manual_seed(0)
    network, frames = build("3x2s2-p-4", (1, 6, 10)), torch.randint(0, 256, (2, 1, 6, 10), dtype=torch.uint8)
    with torch.no_grad():
        last = network.conv(frames).double()
        assert last.shape == (2, 3, 3, 5)
        rows = [[last[b, c, y].mean() for c in range(3) for y in range(3)] for b in range(2)]
        columns = [[last[b, c, :, x].mean() for c in range(3) for x in range(5)] for b in range(2)]
        read = torch.cat([torch.tensor(rows), torch.tensor(columns)], 1).double()
        expected = (read @ network.fc.weight.double().T + network.fc.bias.double()).clamp_min(0)
        torch.testing.assert_close(network(frames).double(), expected, rtol=0, atol=1e-5)
    assert parse("3x2s2-p-4").features((1, 6, 10)) == 3 * (3 + 5)
    assert parse("3x2s2-4").features((1, 6, 10)) == 3 * 3 * 5


@pytest.mark.parametrize(
    "layer",
    ["16x8", "16s4", "x8s4", "0x8s4", "16x0s4", "16x8s0", "016x8s4", "10000x1s1", "1x100s1", "1x1s100", "16X8s4"],
)
def test_layers_that_cannot_be_read_are_named(layer: str) -> None:
    for text in (f"{layer}-32", f"4x4s2-{layer}-32", f"4x4s2-{layer}-p-32"):
        with pytest.raises(ConfigError, match=f"'{layer}' is no layer"):
            parse(text)


@pytest.mark.parametrize(
    "layer", ["", " 4x4s2", "4x4s2 ", "4x4s2\n", "p", "4x4s2p", "1٤x4s2", "4x1٤s2", "4x4s1٤", "-1x4s2", "4x4s2.0"]
)
def test_blanks_other_digits_and_misplaced_parts_are_refused(layer: str) -> None:
    with pytest.raises(ConfigError, match=r"is no layer|it needs 1 to"):
        parse(f"4x4s2-{layer}-4x2s1-32")


@pytest.mark.parametrize(
    "text",
    [
        *("", "32", "p", "p-32", "-32", "16x8s4", "16x8s4-", "16x8s4-p", "16x8s4-0", "16x8s4-032", "16x8s4-100000"),
        *("16x8s4-3２", "16x8s4-32\n", "16x8s4-32.0", "16x8s4--32", "Small", "impala", "auto"),
        "1x1s1-" * (MOST_LAYERS + 1) + "3",
    ],
)
def test_texts_that_are_no_backbone_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_frames_that_are_too_small_are_refused() -> None:
    description = parse("4x8s4-4x4s2-8")
    assert description.maps((1, 20, 20)) == [(1, 20, 20), (4, 4, 4), (4, 1, 1)]
    for shape in ((1, 19, 20), (1, 20, 19), (1, 7, 7)):
        for refused in (description.shapes, description.map_shape, description.features, description.numbers):
            with pytest.raises(ConfigError, match=r"too small for this backbone"):
                refused(shape)


def test_texts_need_frames() -> None:
    with pytest.raises(ConfigError, match="unknown backbone"):
        build("4x4s2-8", (17,))


def test_reading_a_text_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "from rl_gen_lab.backbones.described import parse\n"
        "print(parse('8x8s4-8x4s2-p-32').numbers((4, 84, 84)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=60
    )
    # maps of 20 x 20 and 9 x 9; kernels, biases, mean frame and scale, the layer of 32 units on 8 x 18 profiles
    numbers = 8 * 4 * 64 + 8 + 8 * 8 * 16 + 8 + 4 * 84 * 84 + 1 + 32 * 8 * 18 + 32
    assert done.stdout.strip() == str(numbers), done.stderr

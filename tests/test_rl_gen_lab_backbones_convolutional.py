"""Convolutional backbones: sizes from the papers, pixels scaled as promised, frames that are too small."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Impala, Nature, ScaledConv2d, Small, Tiny
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.cli.errors import ConfigError

PIXELS = ["nature", "small", "impala", "tiny"]


def frames(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def spatial_sizes(backbone: nn.Module, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Output shapes (C, H, W) of the convolutions, in order."""
    sizes: list[tuple[int, ...]] = []
    hooks = [
        m.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
        for m in backbone.modules()
        if isinstance(m, nn.Conv2d)
    ]
    backbone(frames(1, *shape))
    for hook in hooks:
        hook.remove()
    return sizes


def test_the_nature_network_has_the_papers_layers_and_weights() -> None:
    nature = Nature((4, 84, 84))
    assert spatial_sizes(nature, (4, 84, 84)) == [(32, 20, 20), (64, 9, 9), (64, 7, 7)]
    # 32x4x8x8 + 32, 64x32x4x4 + 64, 64x64x3x3 + 64, 3136x512 + 512
    assert count(nature) == 8_224 + 32_832 + 36_928 + 1_606_144
    assert nature.out_features == 512


def test_the_tiny_network_is_that_of_minatar() -> None:
    tiny = Tiny((4, 10, 10))
    assert spatial_sizes(tiny, (4, 10, 10)) == [(16, 8, 8)]
    assert count(tiny) == 16 * 4 * 9 + 16 + 1_024 * 128 + 128 and tiny.out_features == 128


def test_the_small_network_needs_a_third_of_the_nature_networks_arithmetic() -> None:
    def multiplications(backbone: Nature | Small) -> int:
        convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
        sizes = spatial_sizes(backbone, (4, 84, 84))
        flat = backbone.fc.weight.numel()
        return flat + sum(m.weight.numel() * h * w for m, (_, h, w) in zip(convs, sizes, strict=True))

    share = multiplications(Small((4, 84, 84))) / multiplications(Nature((4, 84, 84)))
    assert 0.3 < share < 0.36


def test_the_impala_network_has_fifteen_convolutions_in_three_halving_stages() -> None:
    sizes = spatial_sizes(Impala((4, 84, 84)), (4, 84, 84))
    assert sizes == [(16, 84, 84)] + [(16, 42, 42)] * 4 + [(32, 42, 42)] + [(32, 21, 21)] * 5 + [(32, 11, 11)] * 4


def test_impala_equals_the_figure_of_the_paper() -> None:
    torch.manual_seed(0)
    impala = Impala((3, 20, 20))
    convs = [m for m in impala.modules() if isinstance(m, nn.Conv2d)]
    x = frames(2, 3, 20, 20).float() / 255
    for stage in range(3):
        conv, *blocks = convs[5 * stage : 5 * stage + 5]
        x = F.max_pool2d(F.conv2d(x, conv.weight, conv.bias, padding=1), 3, 2, padding=1)
        for one, two in (blocks[:2], blocks[2:]):
            y = F.conv2d(F.relu(x), one.weight, one.bias, padding=1)
            x = x + F.conv2d(F.relu(y), two.weight, two.bias, padding=1)
    expected = F.relu(impala.fc(F.relu(x).flatten(1)))
    torch.testing.assert_close(impala(frames(2, 3, 20, 20)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("shape", [(4, 84, 84), (1, 42, 42), (9, 64, 48)])
def test_features_are_as_many_as_said_and_never_negative(name: str, shape: tuple[int, ...]) -> None:
    backbone = build(name, shape)
    features = backbone(frames(3, *shape))
    assert features.shape == (3, backbone.out_features)
    assert features.dtype == torch.float32
    assert features.min() >= 0
    assert features.max() > 0


def plain(backbone: nn.Module) -> nn.Module:
    """The same network of ordinary layers with the same weights, for pixels scaled by the caller."""
    children = [(name, child) for name, child in backbone.named_children()]
    for name, child in children:
        if isinstance(child, ScaledConv2d):
            conv = nn.Conv2d(
                child.in_channels,
                child.out_channels,
                child.kernel_size,
                child.stride,
                child.padding,  # type: ignore[arg-type]
            )
            conv.load_state_dict({"weight": child.weight, "bias": child.bias})
            setattr(backbone, name, conv)
        else:
            plain(child)
    return backbone


def twins(name: str, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """A backbone and its twin of ordinary layers."""
    backbone, twin = build(name, shape), build(name, shape)
    twin.load_state_dict(backbone.state_dict())
    return backbone, plain(twin)


def through(backbone: nn.Module, x: Tensor) -> Tensor:
    """Plain layers on scaled pixels: `forward` without any scaling of its own."""
    return F.relu(backbone.fc(backbone.conv(x).flatten(1)))  # type: ignore[operator]


@pytest.mark.parametrize("name", PIXELS)
def test_bytes_equal_pixels_divided_by_255_in_ordinary_layers(name: str) -> None:
    backbone, twin = twins(name, (4, 48, 48))
    assert not any(isinstance(m, ScaledConv2d) for m in twin.modules())
    x = frames(3, 4, 48, 48)
    torch.testing.assert_close(backbone(x), through(twin, x.float() / 255), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(backbone(x), backbone(x.float()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "folds"), [(8, 4, True), (4, 4, True), (3, 3, True), (5, 3, False)])
def test_folded_frames_give_what_a_strided_convolution_gives(kernel: int, stride: int, folds: bool) -> None:
    conv = ScaledConv2d((4, 48, 48), 6, kernel, stride)
    x = frames(3, 4, 48, 48)
    conv.standardize(frames(9, 1, 48, 48, seed=1))
    assert conv._folds(x) == folds
    centered = (x.double() - conv.mean.double()) * conv.scale.double()
    weight = conv.weight.detach().double().requires_grad_()
    bias = conv.bias.detach().double().requires_grad_()  # type: ignore[union-attr]
    expected = F.conv2d(centered, weight, bias, stride)
    found = conv(x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), found, rtol=1e-4, atol=1e-4)
    towards = torch.randn_like(found)
    found.backward(towards)
    expected.backward(towards.double())
    torch.testing.assert_close(conv.weight.grad, weight.grad.float(), rtol=1e-3, atol=1e-3)  # type: ignore[union-attr]
    torch.testing.assert_close(conv.bias.grad, bias.grad.float(), rtol=1e-3, atol=1e-3)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_standardised_equals_subtracting_the_mean_and_dividing_by_the_spread(name: str, channels: int) -> None:
    backbone, twin = twins(name, (2 * channels, 48, 48))
    seen = frames(30, channels, 48, 48, seed=1) // torch.tensor([1, 5, 9])[:channels, None, None]
    backbone.standardize(seen)  # type: ignore[operator]
    mean = seen.double().mean(0)
    spread = ((seen.double() - mean) ** 2).mean().sqrt()
    assert spread > 10
    x = frames(3, 2 * channels, 48, 48)
    scaled = ((x.double() - torch.cat((mean, mean))) / spread).float()  # a stack of two frames
    torch.testing.assert_close(backbone(x), through(twin, scaled), rtol=1e-3, atol=1e-4)
    if channels == 3:  # the order of colors in a stack matters
        wrong = ((x.double() - mean.repeat_interleave(2, 0)) / spread).float()
        assert not torch.allclose(backbone(x), through(twin, wrong), rtol=1e-3, atol=1e-4)


def test_a_still_picture_does_not_divide_by_zero() -> None:
    backbone = build("small", (4, 84, 84))
    backbone.standardize(torch.full((10, 1, 84, 84), 7, dtype=torch.uint8))  # type: ignore[operator]
    features = backbone(frames(2, 4, 84, 84))
    assert features.isfinite().all()
    assert features.abs().max() < 1_000


def test_the_statistics_of_pixels_are_saved_and_not_learned() -> None:
    backbone = build("small", (4, 84, 84))
    names = {name for name, _ in backbone.named_parameters()}
    extra = set(backbone.state_dict()) - names
    assert {name.rpartition(".")[2] for name in extra} == {"mean", "scale"}


@pytest.mark.parametrize("name", ["squeezenet", "densenet"])
def test_frames_of_which_a_single_value_is_left_to_normalize_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"frames of \(1, 2, 3\) are too small .*: Expected more than 1") as caught:
        build_configured(name, (1, 2, 3), BackboneConfig(stages=5, depth=1))
    arithmetic = (
        r"by \(input \+ padding - kernel\) / stride \+ 1, height \(1 \+ \d - \d\) / \d \+ 1 = 1 and width \(. .* = 1: "
    )
    assert re.search(arithmetic, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(("name", "smallest"), [("nature", 36), ("small", 36), ("tiny", 3)])
def test_frames_too_small_are_refused_and_the_smallest_that_fit_are_not(name: str, smallest: int) -> None:
    assert build(name, (4, smallest, smallest))(frames(1, 4, smallest, smallest)).isfinite().all()
    with pytest.raises(ConfigError, match=r"frames of \(4, \d+, \d+\) are too small for this backbone") as caught:
        build(name, (4, smallest - 1, smallest - 1))
    assert "\n" not in str(caught.value)

"""Segmentation networks: patches as in whole images, outputs of the image's size."""

from __future__ import annotations

import pytest
import torch
import vision_data

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.blocks import Scale
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_maps
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.networks import FCN, PatchNetwork, UNet, make_network

SMALL = BackboneConfig(width=8, stages=3, depth=1, first_stride=1, norm="batch")


SCALE = Scale(torch.tensor([0.2, 0.3, 0.4]), torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("size", [(33, 40), (50, 31)])
def test_the_middle_of_a_patch_is_classified_as_in_the_whole_image(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = PatchNetwork(SCALE, 3, 4).eval()
    assert network.side == 15
    image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
    dense = network(image)
    padded = torch.nn.functional.pad(image, [7] * 4)
    for y, x in ((0, 0), (17, 20), (size[0] - 1, size[1] - 1)):
        one = network.classify_patches(padded[:, :, y : y + 15, x : x + 15])
        torch.testing.assert_close(one[0], dense[0, :, y, x], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 32), (37, 29)])
@pytest.mark.parametrize("backbone", ["resnet", "densenet", "fractalnet", "squeezenet", "impala", "small"])
def test_a_unet_gives_every_pixel_its_scores_on_any_backbone(backbone: str, size: tuple[int, int]) -> None:
    if backbone == "small":
        size = (size[0] + 20, size[1] + 20)
    net = UNet(build_maps(backbone, (3, *size), SMALL if backbone in CONFIGURABLE else None), 4, SMALL)
    logits = net(torch.zeros(2, 3, *size, dtype=torch.uint8))
    assert logits.shape == (2, 4, *size)
    logits.square().sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


@pytest.mark.parametrize("unpool", [False, True])
def test_an_fcn_gives_odd_images_back_at_their_size(unpool: bool) -> None:
    net = FCN(SCALE, 4, 8, 3, unpool)
    assert net(torch.zeros(2, 3, 37, 29, dtype=torch.uint8)).shape == (2, 4, 37, 29)


def test_images_are_scaled_by_the_statistics_of_the_training_split() -> None:
    dataset = vision_data.dataset()
    scaled = Scale(dataset.mean, dataset.std)(dataset.splits["train"].images)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-3)
    unet = make_network(SegmentConfig("unet", choices=SMALL), dataset)
    assert isinstance(unet, UNet)
    first = unet.backbone.conv[0][0]  # type: ignore[index]
    torch.testing.assert_close(first.mean[:, 5, 7], 255 * dataset.mean)

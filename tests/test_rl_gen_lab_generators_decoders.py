"""Decoders: any size of image, and a dot that can be put anywhere."""

from __future__ import annotations

import pytest
import torch

from rl_gen_lab.generators.decoders import BroadcastDecoder, UpsamplingDecoder, fourier_features


@pytest.mark.parametrize("size", [(210, 160), (40, 32), (33, 65), (5, 7)])
@pytest.mark.parametrize("kind", ["upsample", "transposed", "broadcast"])
def test_every_size_of_image_is_drawn_in_full(kind: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)  # of few channels all may be dead
    decoder = (
        BroadcastDecoder(6, 3, size, 8)
        if kind == "broadcast"
        else UpsamplingDecoder(6, 3, size, 8, transposed=kind == "transposed")
    )
    out = decoder(torch.randn(2, 6))
    assert out.shape == (2, 3, *size) and out.dtype == torch.float32
    assert not torch.equal(out[0], out[1])


@pytest.mark.parametrize("kind", ["upsample", "transposed", "broadcast"])
def test_a_dot_is_learned_at_the_place_that_the_code_names(kind: str) -> None:
    torch.manual_seed(0)
    decoder = (
        BroadcastDecoder(2, 1, (16, 16), 32)
        if kind == "broadcast"
        else UpsamplingDecoder(2, 1, (16, 16), 32, transposed=kind == "transposed")
    )
    y, x = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    code = torch.stack((y.flatten(), x.flatten()), 1) / 1.5 - 1
    places = (4 * y + 1).flatten() * 16 + (4 * x + 2).flatten()
    optimizer = torch.optim.Adam(decoder.parameters(), 1e-2)
    for _ in range(200):
        loss = torch.nn.functional.cross_entropy(decoder(code).flatten(1), places)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(decoder(code).flatten(1).argmax(1), places)


def test_waves_of_a_position_are_sines_and_cosines() -> None:
    waves = fourier_features(3, 5, octaves=2)
    assert waves.shape == (1, 10, 3, 5)
    assert waves[0, :2, 2, 0].tolist() == [1.0, -1.0]  # y, x of the lower left corner
    assert torch.allclose(waves[0, 2:4], torch.sin(torch.pi * waves[0, :2]))
    assert torch.allclose(waves[0, 8:10], torch.cos(2 * torch.pi * waves[0, :2]))

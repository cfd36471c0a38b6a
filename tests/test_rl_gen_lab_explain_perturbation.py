"""Maps from perturbed frames, against a loop over all pixels."""

from __future__ import annotations

import pytest
import torch
from explained_models import Linear, curved, explained

from rl_gen_lab.explain.perturbation import blur, blurred, occlusion, rise


def test_occlusion_is_the_mean_fall_over_the_windows_of_a_pixel() -> None:
    model, frames, chosen = curved(1)
    frames[0, :, :6, :6] = 0.1  # equal to the baseline: windows there are left out, and change nothing
    found = occlusion(model, frames, chosen, window=5, stride=3)
    starts = [0, 3, 6, 7]
    total, count = torch.zeros(12, 12, dtype=torch.float64), torch.zeros(12, 12, dtype=torch.float64)
    before = model.scores(frames, chosen)
    for y in starts:
        for x in starts:
            covered = frames.clone()
            covered[:, :, y : y + 5, x : x + 5] = 0.1
            total[y : y + 5, x : x + 5] += (before - model.scores(covered, chosen)).detach()[0]
            count[y : y + 5, x : x + 5] += 1
    torch.testing.assert_close(found[0, 0], total / count, rtol=1e-5, atol=1e-12)


def test_a_blur_of_a_constant_is_itself_and_of_noise_is_smoother() -> None:
    even = torch.full((1, 2, 12, 12), 7.0)
    torch.testing.assert_close(blurred(even, 2.0), even)
    noise = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    assert float(blurred(noise, 2.0).std()) < 0.3 * float(noise.std())


def test_the_blur_map_is_zero_where_nothing_can_change_and_never_negative() -> None:
    model, frames, chosen = curved(1)
    assert float(blur(model, torch.full_like(frames, 3.0), chosen).abs().max()) < 1e-12
    assert float(blur(model, frames, chosen).min()) >= 0.0


def test_rise_finds_the_pixel_that_counts() -> None:
    network = Linear((1, 24, 24))
    with torch.no_grad():
        network.weight.zero_()
        network.weight[0, 0, 5, 17] = 1.0
    frames = torch.ones(1, 1, 24, 24, dtype=torch.float64)
    maps = rise(explained(network, (1, 24, 24)), frames, torch.zeros(1, dtype=torch.int64), masks=600, cells=8)
    y, x = divmod(int(maps[0, 0].argmax()), 24)
    assert abs(y - 5) <= 2 and abs(x - 17) <= 2


@pytest.mark.parametrize("method", [occlusion, blur, rise])
def test_all_channels_share_a_map(method: object) -> None:
    model, frames, chosen = curved(2)
    assert method(model, frames, chosen).shape == (2, 1, 12, 12)  # type: ignore[operator]

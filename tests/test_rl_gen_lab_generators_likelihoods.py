"""Likelihoods: probabilities sum to one, densities as scipy's, samples as often as they are likely."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rl_gen_lab.generators import likelihoods
from rl_gen_lab.generators.likelihoods import (
    BernoulliLikelihood,
    GaussianLikelihood,
    LogisticLikelihood,
    PaletteLikelihood,
    make_likelihood,
)

NAMES = ("palette", "logistic", "gaussian", "unit_gaussian", "bernoulli")


def images_of(count: int = 6, seed: int = 0) -> torch.Tensor:
    colors = torch.tensor([[0, 0, 0], [200, 30, 60], [255, 255, 255]], dtype=torch.uint8)
    numbers = torch.randint(3, (count, 4, 5), generator=torch.Generator().manual_seed(seed))
    return colors[numbers].permute(0, 3, 1, 2).contiguous()


def test_probabilities_of_all_colors_sum_to_one() -> None:
    images = images_of()
    palette = PaletteLikelihood(images)
    out = torch.randn(1, palette.channels, 4, 5, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(1, 4, 5)
    for number in range(palette.channels):
        painted = palette.palette.paint(torch.full((1, 4, 5), number))
        # the last number stands for all 2^24 - 3 other colors, each as likely
        total += palette.log_prob(out, painted).exp() * (2**24 - 3 if number == palette.channels - 1 else 1)
    assert torch.allclose(total, torch.ones(1, 4, 5), atol=1e-6)


def test_the_background_alone_gives_the_frequencies_of_the_training_images() -> None:
    images = images_of(400)
    palette = PaletteLikelihood(images)
    bits = -palette.log_prob(torch.zeros(400, palette.channels, 4, 5), images).detach().mean()
    numbers = palette.palette.index(images)
    shares = torch.stack([(numbers == k).float().mean(0) for k in range(3)])
    assert float(bits) == pytest.approx(float(-(shares * shares.log()).sum(0).mean()), rel=2e-3)
    rarity = palette.rarity(images)
    assert torch.allclose(rarity[0], shares.gather(0, numbers[:1])[0], atol=2e-3)


def test_the_256_values_of_a_discretized_logistic_sum_to_one() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(-1, 3, 1, 1)
    logistic = LogisticLikelihood(values[:1])
    for mean, log_scale in ((0.5, -3.0), (0.0, -1.0), (1.2, -5.0), (0.3, -7.0), (0.5, 2.0)):
        out = torch.tensor([mean] * 3 + [log_scale] * 3).view(1, 6, 1, 1) - logistic.background[None]
        # the three colors are independent and equal, so a third of the sum of their log probabilities is one color's
        one = (logistic.log_prob(out.double().expand(256, -1, -1, -1), values).detach() / 3).exp().sum()
        assert float(one) == pytest.approx(1.0, abs=1e-6), (mean, log_scale)


def test_a_discretized_logistic_is_a_difference_of_distribution_functions() -> None:
    image = torch.tensor([[[[100]], [[101]], [[0]]]], dtype=torch.uint8)
    logistic = LogisticLikelihood(image)
    with torch.no_grad():
        logistic.background.copy_(torch.tensor([0.4, 0.38, 0.1, -3.0, -2.5, -2.0]).view(6, 1, 1))
    law = [stats.logistic(m, np.exp(s)) for m, s in ((0.4, -3.0), (0.38, -2.5), (0.1, -2.0))]
    expected = np.log(law[0].cdf(100.5 / 255) - law[0].cdf(99.5 / 255))
    expected += np.log(law[1].cdf(101.5 / 255) - law[1].cdf(100.5 / 255)) + np.log(law[2].cdf(0.5 / 255))
    out = torch.zeros(1, 6, 1, 1, dtype=torch.float64)
    assert float(logistic.log_prob(out, image).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("learned", [True, False])
def test_gaussian_densities_are_those_of_scipy(learned: bool) -> None:
    images = images_of()
    gaussian = GaussianLikelihood(images, learned)
    out = 0.1 * torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    mean = (out + gaussian.background).detach().numpy()
    expected = stats.norm(mean, float(gaussian.log_std.detach().exp())).logpdf(images.numpy() / 255).sum(1)
    assert np.allclose(gaussian.log_prob(out, images).detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert (
        gaussian.log_std.requires_grad == learned and float(GaussianLikelihood(images, False).log_std.detach()) == 0.0
    )


def test_bernoulli_is_the_cross_entropy_of_white() -> None:
    images = images_of()
    bernoulli = BernoulliLikelihood(images)
    out = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    p = (out + bernoulli.background).sigmoid().detach().double()
    x = images.double() / 255
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    assert torch.allclose(bernoulli.log_prob(out, images).detach().double(), expected, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_samples_average_to_what_they_are_drawn_from(name: str) -> None:
    images = images_of()
    model = make_likelihood(name, images)
    out = 0.3 * torch.randn(1, model.channels, 4, 5, generator=torch.Generator().manual_seed(4))
    if name == "logistic":
        out[:, 3:] = -1.0
    draws = model.sample(out.expand(4_000, -1, -1, -1), torch.Generator().manual_seed(5))
    assert draws.dtype == torch.uint8 and draws.shape == (4_000, 3, 4, 5)
    likeliest = model.likeliest(out)
    assert likeliest.dtype == torch.uint8 and likeliest.shape == (1, 3, 4, 5)
    if name == "palette":
        assert isinstance(model, PaletteLikelihood)
        shares = torch.stack([(model.palette.index(draws) == k).float().mean(0) for k in range(4)])
        expected = (out + model.background).softmax(1)[0].detach()
        assert torch.allclose(shares, expected, atol=0.04)
    elif name in ("logistic", "bernoulli"):
        assert torch.allclose(draws.float().mean(0), likeliest[0].float(), atol=8.0)
    assert model.exact == (name in ("palette", "logistic"))


def test_names_lead_to_likelihoods() -> None:
    kinds = [type(make_likelihood(name, images_of())) for name in NAMES]
    assert kinds == [PaletteLikelihood, LogisticLikelihood, *[GaussianLikelihood] * 2, BernoulliLikelihood]
    assert likelihoods.CHUNK > 6  # the statistics above are of one chunk, those of 400 images of several

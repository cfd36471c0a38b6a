"""Quantizers: values against arithmetic by hand, gradients straight through, revival of unused vectors."""

from __future__ import annotations

import itertools

import pytest
import torch

from rl_gen_lab.generators.quantizers import FiniteScalarQuantizer, VectorQuantizer


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3, 4), (4,)])
def test_tokens_and_vectors_are_one_to_one(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    tokens = torch.arange(quantizer.codes)
    vectors = quantizer.vectors(tokens)
    assert len(vectors.unique(dim=0)) == quantizer.codes == torch.tensor(levels).prod()
    digits = [[-(level // 2) + i for i in range(level)] for level in levels]
    expected = {tuple(d / (n // 2) for d, n in zip(row, levels, strict=True)) for row in itertools.product(*digits)}
    assert {tuple(row) for row in vectors.double().tolist()} == {
        tuple(float(torch.tensor(v)) for v in e) for e in expected
    }


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3, 4), (4,)])
def test_every_level_is_reached_and_coded_as_its_token_says(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    x = 8 * torch.rand(20_000, len(levels), generator=torch.Generator().manual_seed(0)) - 4
    quantized, tokens, loss = quantizer(x)
    assert float(loss) == 0.0 and int(tokens.min()) == 0 and int(tokens.max()) == quantizer.codes - 1
    assert torch.allclose(quantized, quantizer.vectors(tokens), atol=1e-6)
    for column, level in enumerate(levels):
        assert len(quantized[:, column].round(decimals=4).unique()) == level


def test_rounding_is_that_of_the_paper() -> None:
    """Mentzer et al. 2024, appendix A.1, by hand for 5 and 4 levels."""
    quantized, _, _ = FiniteScalarQuantizer((5,))(torch.tensor([[0.0], [0.3], [10.0], [-10.0]]))
    assert quantized.flatten().tolist() == [0.0, 0.5, 1.0, -1.0]  # tanh(0.3) * 2 = 0.58 rounds to 1 of 2
    quantized, tokens, _ = FiniteScalarQuantizer((4,))(torch.tensor([[0.0], [10.0], [-10.0]]))
    assert quantized.flatten().tolist() == [0.0, 0.5, -1.0] and tokens.tolist() == [2, 3, 0]


def test_the_gradient_passes_rounding_and_not_the_choice() -> None:
    x = torch.tensor([[0.3, -0.4]], requires_grad=True)
    quantized, _, _ = FiniteScalarQuantizer((5, 5))(x)
    quantized.sum().backward()
    expected = 1 - torch.tanh(x.detach()).square()  # of tanh(x) * half / 2 with half = 2 (1 + 1e-3)
    assert x.grad is not None and torch.allclose(x.grad, expected * (1 + 1e-3), atol=1e-4)

    quantizer = VectorQuantizer(2, 2, commitment=0.25).eval()
    quantizer.codebook.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    x = torch.tensor([[0.9, 0.8]], requires_grad=True)
    quantized, tokens, loss = quantizer(x)
    assert tokens.tolist() == [1] and quantized.tolist() == [[1.0, 1.0]]
    (3 * quantized.sum()).backward(retain_graph=True)
    assert x.grad is not None and x.grad.tolist() == [[3.0, 3.0]]
    x.grad = None
    loss.backward()
    assert torch.allclose(x.grad, 0.25 * 2 * torch.tensor([[-0.1, -0.2]]) / 2)
    assert float(loss.detach()) == pytest.approx(0.25 * (0.01 + 0.04) / 2)


def test_a_codebook_follows_its_vectors_and_replaces_what_nobody_chooses() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 2, commitment=0.25)
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    for _ in range(900):
        quantizer(centers[torch.randint(4, (64,))] + 0.1 * torch.randn(64, 2))
    nearest = torch.cdist(centers, quantizer.codebook)
    assert nearest.argmin(1).unique().numel() == 4 and float(nearest.amin(1).max()) < 0.1
    quantizer.codebook[2] = torch.tensor([100.0, 100.0])
    quantizer.sums[2], quantizer.uses[2] = 100.0, 1e-3
    quantizer(centers[torch.randint(4, (64,))])
    assert float(quantizer.codebook[2].max()) < 6  # it was far from everything, and took a present vector's place


def test_evaluation_leaves_the_codebook_as_it_is() -> None:
    quantizer = VectorQuantizer(4, 2, commitment=0.25).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(torch.randn(8, 2))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())

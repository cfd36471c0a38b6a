"""Networks of styles: the moments that AdaIN sets, sizes that come back, losses that fall."""

from __future__ import annotations

import torch

from rl_gen_lab.explain.synthesis import stylers
from rl_gen_lab.explain.synthesis.style import Weights


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_adain_gives_each_map_mean_and_deviation_of_the_styles() -> None:
    content, style = 3 + random(2, 4, 9, 7), 5 * random(1, 4, 6, 5, seed=1) - 2
    made = stylers.adain(content, style)
    numbers, wanted = made.double().numpy(), style.double().numpy()
    for channel in range(4):
        for one in numbers[:, channel]:
            assert abs(one.mean() - wanted[0, channel].mean()) < 1e-4
            assert abs(one.std() - wanted[0, channel].std()) < 1e-4
    order = content[0, 0].flatten().argsort()
    assert (made[0, 0].flatten()[order].diff() >= 0).all()  # places keep their order
    assert torch.allclose(stylers.adain(content[:1], content[:1]), content[:1], atol=1e-4)


def test_pictures_of_any_size_come_back_as_large() -> None:
    pictures = random(2, 3, 21, 34)
    fast, anything = stylers.FastStyle().eval(), stylers.AnyStyle().eval()
    with torch.no_grad():
        for made in (fast(pictures), anything(pictures, random(1, 3, 30, 30))):
            assert made.shape == pictures.shape and made.min() >= 0 and made.max() <= 1
        plain = anything(pictures, random(1, 3, 30, 30), 0.0)
        assert torch.equal(plain, anything(pictures, random(1, 3, 18, 18, seed=2), 0.0))


def test_pieces_are_parts_of_pictures() -> None:
    pictures = torch.randint(0, 256, (3, 3, 40, 30), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    pieces = stylers.random_crops(pictures, 5, 16, generator)
    assert pieces.shape == (5, 3, 16, 16)
    windows = pictures.unfold(2, 16, 1).unfold(3, 16, 1).float() / 255
    assert all((windows == piece[None, :, None, None]).flatten(4).all(-1).all(1).any() for piece in pieces)
    assert stylers.random_crops(pictures, 1, 96, generator).shape == (1, 3, 28, 28)


def test_both_trainings_lower_their_loss_and_repeat_by_seed() -> None:
    contents = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    styles = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    losses: list[float] = []

    def told(done: int, loss: float) -> None:
        losses.append(loss)

    fast = stylers.train_fast(contents, styles[:1] / 255, Weights(), updates=12, on_update=told)
    again = stylers.train_fast(contents, styles[:1] / 255, Weights(), updates=12)
    assert sum(losses[-4:]) < sum(losses[:4])
    assert all(torch.equal(a, b) for a, b in zip(fast.state_dict().values(), again.state_dict().values(), strict=True))
    losses.clear()
    anything = stylers.train_any(contents, styles, updates=16, on_update=told)
    assert sum(losses[-4:]) < sum(losses[:4]) and not any(p.requires_grad for p in anything.parameters())

"""Maps and their measures beside captum's, of a network that captum sees whole: numbers that are committed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum_numbers import DRAWS, STRIDE, WINDOW, noise, numbers
from explained_models import curved
from torch.nn import functional as F

from rl_gen_lab.explain import faithfulness, gradient_maps, perturbation
from rl_gen_lab.explain.grad_cam import grad_cam

MODEL, FRAMES, CHOSEN = curved()
EXACT = {"rtol": 1e-6, "atol": 1e-15}


def test_gradient_and_guided_backpropagation_are_those_of_captum() -> None:
    known = numbers()
    own = gradient_maps.gradient(MODEL, FRAMES, CHOSEN)
    torch.testing.assert_close(own, known["gradient"], **EXACT)
    guided = gradient_maps.guided_backpropagation(MODEL, FRAMES, CHOSEN)
    torch.testing.assert_close(guided, known["guided"], **EXACT)
    assert (guided - own).abs().max() > 1e-3  # the two differ, so that one cannot stand for the other


def test_integrated_gradients_are_those_of_captum_on_as_many_points() -> None:
    found = gradient_maps.integrated_gradients(MODEL, FRAMES, CHOSEN, points=512)
    torch.testing.assert_close(found, numbers()["integrated"], rtol=1e-6, atol=1e-9)


def test_grad_cam_is_that_of_captum_enlarged() -> None:
    wanted = F.interpolate(numbers()["grad_cam"], FRAMES.shape[2:], mode="bilinear", align_corners=False)
    assert wanted.max() > 1e-3
    torch.testing.assert_close(grad_cam(MODEL, FRAMES, CHOSEN, "conv.2"), wanted, **EXACT)


def test_occlusion_is_that_of_captum_where_windows_overlap() -> None:
    found = perturbation.occlusion(MODEL, FRAMES, CHOSEN, WINDOW, STRIDE)
    wanted = numbers()["occlusion"].double()  # captum's are float32
    assert STRIDE < WINDOW and wanted.abs().max() > 1e-2
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-8)


def test_infidelity_is_that_of_captum_over_the_mean_squared_change() -> None:
    own = gradient_maps.gradient(MODEL, FRAMES, CHOSEN)
    found = faithfulness.infidelity(MODEL, FRAMES, CHOSEN, own, draws=DRAWS)
    before = MODEL.scores(FRAMES, CHOSEN)
    changes = torch.stack([before - MODEL.scores(FRAMES - step, CHOSEN) for step in noise(uniform=False)])
    wanted = numbers()["infidelity"] / changes.square().mean(0)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-6)


def test_largest_sensitivity_is_that_of_captum() -> None:
    own = gradient_maps.gradient(MODEL, FRAMES, CHOSEN)
    found = faithfulness.max_sensitivity(gradient_maps.gradient, MODEL, FRAMES, CHOSEN, own, draws=DRAWS)
    assert found == pytest.approx(numbers()["sensitivity"].numpy(), rel=1e-6)

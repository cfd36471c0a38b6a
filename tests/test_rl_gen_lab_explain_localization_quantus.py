"""Where maps lie beside what quantus says of it: numbers that are committed."""

from __future__ import annotations

import numpy as np
import pytest
from quantus_numbers import COUNT, numbers, world

from rl_gen_lab.explain.localization import located


@pytest.mark.parametrize("name", ["mass", "rank", "hit"])
def test_mass_rank_and_pointing_are_those_of_quantus(name: str) -> None:
    wanted = numbers()[name]
    assert wanted.shape == (COUNT,) and 0 < wanted.mean() < 1  # some maps do well, others do not
    np.testing.assert_allclose(getattr(located(*world()), name), wanted, rtol=1e-12)

"""The recurrent core: a plain loop over its equations, a state that is forgotten where a sequence begins, gradients."""

from __future__ import annotations

import torch

from rl_gen_lab.backbones.recurrent import LSTM

T, B, D, UNITS = 7, 3, 4, 5


def core_and_input() -> tuple[LSTM, torch.Tensor]:
    torch.manual_seed(0)
    return LSTM(D, UNITS), torch.randn(T, B, D)


def test_the_core_follows_the_equations_of_an_lstm() -> None:
    core, x = core_and_input()
    lstm = core.lstm
    h, c = torch.zeros(B, UNITS), torch.zeros(B, UNITS)
    expected = []
    for t in range(T):
        gates = x[t] @ lstm.weight_ih_l0.T + h @ lstm.weight_hh_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        expected.append(h)
    out, state = core(x, torch.zeros(T, B, dtype=torch.bool), core.start(B))
    torch.testing.assert_close(out, torch.stack(expected))
    torch.testing.assert_close(state, torch.stack([h, c]))


def test_a_sequence_that_begins_knows_nothing_of_before_and_the_others_all() -> None:
    core, x = core_and_input()
    first = torch.zeros(T, B, dtype=torch.bool)
    first[3, 1] = first[5, 2] = True
    state = torch.randn(2, B, UNITS)
    out, _ = core(x, first, state)
    plain, _ = core(x, torch.zeros_like(first), state)
    fresh, _ = core(x[3:, 1:2], torch.zeros(T - 3, 1, dtype=torch.bool), core.start(1))
    torch.testing.assert_close(out[:, 0], plain[:, 0])
    torch.testing.assert_close(out[:3, 1], plain[:3, 1])
    torch.testing.assert_close(out[3:, 1], fresh[:, 0])
    assert not torch.allclose(out[3:, 1], plain[3:, 1])
    torch.testing.assert_close(out[:5, 2], plain[:5, 2])
    assert not torch.allclose(out[5:, 2], plain[5:, 2])


def test_first_in_the_first_row_forgets_the_state_handed_in() -> None:
    core, x = core_and_input()
    first = torch.zeros(T, B, dtype=torch.bool)
    first[0] = True
    given, _ = core(x, first, torch.randn(2, B, UNITS))
    none, _ = core(x, torch.zeros_like(first), core.start(B))
    torch.testing.assert_close(given, none)


def test_step_by_step_is_the_same_as_at_once() -> None:
    core, x = core_and_input()
    first = torch.rand(T, B, generator=torch.Generator().manual_seed(1)) < 0.3
    whole, end = core(x, first, core.start(B))
    state, parts = core.start(B), []
    for t in range(T):
        out, state = core(x[t : t + 1], first[t : t + 1], state)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, end)


def test_gradients_reach_back_to_where_the_sequence_began_and_no_further() -> None:
    core, x = core_and_input()
    x.requires_grad_()
    first = torch.zeros(T, B, dtype=torch.bool)
    first[3, 1] = True
    out, _ = core(x, first, core.start(B))
    out[-1].sum().backward()
    assert x.grad is not None
    reached = x.grad.abs().sum(2) > 0
    assert reached[:, 0].all() and reached[3:, 1].all() and not reached[:3, 1].any()

"""The mathematics of value learning, by numbers that can be worked out on paper."""

import torch

from agents.rl_math import double_q_learning_target, huber, q_learning_target, td_error

REWARD = torch.tensor([1.0, -2.0, 0.5])
DISCOUNT = torch.tensor([0.5, 0.0, 0.25])
Q_T = torch.tensor([[2.0, 6.0], [10.0, 20.0], [-4.0, -8.0]])


def test_the_target_is_reward_plus_discounted_maximum_and_a_zero_discount_stops_the_value() -> None:
    # 1 + 0.5 x 6; -2 + 0 x 20; 0.5 + 0.25 x -4
    assert q_learning_target(REWARD, DISCOUNT, Q_T).tolist() == [4.0, -2.0, -0.5]


def test_the_double_target_lets_the_selector_choose_and_the_target_network_value() -> None:
    selector = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # chooses actions 0, 1, 1
    # 1 + 0.5 x 2; -2 + 0; 0.5 + 0.25 x -8
    assert double_q_learning_target(REWARD, DISCOUNT, Q_T, selector).tolist() == [2.0, -2.0, -1.5]


def test_double_and_single_differ_exactly_where_the_two_networks_disagree_and_the_value_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    q_t, selector = torch.randn(2, 500, 4, generator=generator)
    reward = torch.randn(500, generator=generator)
    discount = 0.9 * torch.randint(2, (500,), generator=generator)
    single = q_learning_target(reward, discount, q_t)
    double = double_q_learning_target(reward, discount, q_t, selector)
    disagree = q_t.argmax(1) != selector.argmax(1)
    assert torch.equal(single != double, disagree & (discount > 0))
    assert (double <= single).all()  # never more optimistic
    assert 0 < int(disagree.sum()) < 500


def test_the_td_error_is_target_minus_the_value_of_the_action_taken() -> None:
    q_tm1 = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert td_error(q_tm1, torch.tensor([2, 0]), torch.tensor([10.0, 1.0])).tolist() == [7.0, -3.0]


def test_gradients_reach_the_action_taken_and_nothing_behind_the_target() -> None:
    q_tm1, q_t, selector = (torch.randn(3, 2, requires_grad=True) for _ in range(3))
    for target in (
        q_learning_target(REWARD, DISCOUNT, q_t),
        double_q_learning_target(REWARD, DISCOUNT, q_t, selector),
    ):
        assert not target.requires_grad
        q_tm1.grad = None
        td_error(q_tm1, torch.tensor([0, 1, 1]), target).sum().backward()
        assert q_tm1.grad is not None
        assert q_tm1.grad.tolist() == [[-1.0, 0.0], [0.0, -1.0], [0.0, -1.0]]
    assert q_t.grad is None
    assert selector.grad is None


def test_huber_is_a_parabola_within_delta_and_a_line_beyond() -> None:
    x = torch.tensor([-3.0, -1.0, 0.0, 0.5, 1.0, 4.0])
    assert huber(x).tolist() == [2.5, 0.5, 0.0, 0.125, 0.5, 3.5]
    assert huber(x, delta=2.0).tolist() == [4.0, 0.5, 0.0, 0.125, 0.5, 6.0]


def test_the_gradient_of_huber_is_the_error_clipped() -> None:
    x = torch.tensor([-30.0, -1.0, -0.25, 0.0, 0.5, 7.0], requires_grad=True)
    huber(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, -1.0, -0.25, 0.0, 0.5, 1.0]

"""The captioner: attention against its formula, teacher forcing, truncated gradients."""

from __future__ import annotations

import torch
from caption_models import IMAGE, captioned, task, tiny
from torch import Tensor

from rl_gen_lab.data.vocabulary import BEGIN


def test_attention_is_a_distribution_over_positions_by_the_papers_formula() -> None:
    net = task("attention").network
    images = captioned().splits["train"].images[:2]
    with torch.no_grad():
        (features, keys), (hidden, cell) = net.encode(images)
        _, weights, (after, _) = net.step(torch.tensor([1, 1]), (features, keys), (hidden, cell))
        for row in range(2):
            energy = torch.stack(
                [net.score((net.by_feature(f) + net.by_state(hidden[row])).tanh())[0] for f in features[row]]
            )
            expected = energy.exp() / energy.exp().sum()
            torch.testing.assert_close(weights[row], expected)
        context = net.gate(hidden).sigmoid() * torch.einsum("bp,bpd->bd", weights, features)
        word = net.embed(torch.tensor([1, 1]))
        lstm = torch.nn.LSTM(net.lstm.input_size, net.lstm.hidden_size)
        lstm.load_state_dict({f"{name}_l0": value for name, value in net.lstm.state_dict().items()})
        out, _ = lstm(torch.cat((word, context), -1)[None], (hidden[None], cell[None]))
        torch.testing.assert_close(after, out[0])


def test_the_gradient_reaches_back_as_far_as_it_is_let() -> None:
    net = tiny()
    words = torch.tensor([[BEGIN, 3, 4, 4, 4, 4]])

    def reach(bptt_words: int) -> tuple[float, Tensor]:
        net.zero_grad()
        logits, _ = net(IMAGE[None], words, bptt_words)
        logits[0, -1, 3].backward()  # the last of five steps, which reads the fifth word
        assert net.embed.weight.grad is not None
        return float(net.embed.weight.grad[3].abs().sum()), logits.detach()

    (whole, said), (four, same), (two, _) = reach(0), reach(4), reach(2)
    assert whole > 0 and torch.equal(said, same), "the sentence is the same"
    assert four == 0 and two == 0, "word 3 was read at the second step, before the last cut"
    assert reach(3)[0] == 0 and reach(5)[0] == whole

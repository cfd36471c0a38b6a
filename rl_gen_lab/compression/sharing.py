"""Weight sharing: a layer's weights take the values of a small codebook, which is fine-tuned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.layers import WEIGHT

ROUNDS = 50  # of k-means at most


def k_means(values: Tensor, count: int, importance: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cluster numbers; return the centers (count,) in order and the place of each number, (N,) int64.

    Starts evenly between the smallest and the largest (the "linear" start of Han et al. 2016, "Deep Compression",
    section 3.2, which keeps large weights); a center without numbers moves to where the errors are largest.
    importance: (N,) weights of the squared errors, such as the diagonal of the Fisher information (Choi et al. 2017,
    "Towards the limit of network quantization", section 3.3); None: all alike.
    """
    importance = torch.ones_like(values) if importance is None else importance
    centers = torch.linspace(float(values.min()), float(values.max()), count, dtype=torch.float64)
    values64, importance64 = values.double(), importance.double().clamp_min(1e-30)
    places = _nearest(values64, centers)
    for _ in range(ROUNDS):
        mass = torch.zeros(count, dtype=torch.float64).index_add_(0, places, importance64)
        total = torch.zeros(count, dtype=torch.float64).index_add_(0, places, importance64 * values64)
        centers = torch.where(mass > 0, total / mass.clamp_min(1e-30), centers)
        errors = torch.zeros_like(mass).index_add_(0, places, importance64 * (values64 - centers[places]).square())
        _move_unused(centers, mass, errors)
        centers = centers.sort().values
        before, places = places, _nearest(values64, centers)
        if torch.equal(before, places):
            break
    return centers.to(values.dtype), places


def _move_unused(centers: Tensor, mass: Tensor, errors: Tensor) -> None:
    """Move centers without numbers, in place, one standard deviation above those with the largest squared errors."""
    for unused in torch.nonzero(mass == 0).flatten().tolist():
        worst = int(errors.argmax())
        if errors[worst] == 0:
            return
        centers[unused] = centers[worst] + (errors[worst] / mass[worst]).sqrt()
        errors[worst] = 0  # one new center for each, until the next round


def _nearest(values: Tensor, centers: Tensor) -> Tensor:
    return torch.bucketize(values, (centers[1:] + centers[:-1]) / 2)


class Shared(nn.Module):
    """Parametrization: every weight is an entry of the codebook; entry 0 is the value 0, of pruned weights.

    The gradient of an entry is the sum over the weights that share it. The weights behind it no longer matter.
    """

    places: Tensor

    def __init__(self, weight: Tensor, bits: int, importance: Tensor | None = None) -> None:
        """bits: 2^bits values, the 0 among them. importance: of the shape of the weight, as in `k_means`."""
        super().__init__()
        flat = weight.detach().flatten()
        nonzero = flat != 0
        self.values = nn.Parameter(torch.zeros(2**bits - 1))
        self.register_buffer("places", torch.zeros(weight.shape, dtype=torch.int64))
        if nonzero.any():
            chosen = None if importance is None else importance.flatten()[nonzero]
            centers, places = k_means(flat[nonzero], len(self.values), chosen)
            self.values.data.copy_(centers)
            self.places.view(-1)[nonzero] = places + 1

    def codebook(self) -> Tensor:
        """The values as a file keeps them, in half precision; the gradient passes."""
        stored = self.values + (self.values.detach().half().float() - self.values.detach())
        return torch.cat([torch.zeros(1, device=stored.device), stored])

    def forward(self, weight: Tensor) -> Tensor:
        """weight: only its shape matters -> the same shape, entries of the codebook."""
        return self.codebook()[self.places]

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the codes and the codebook as they are stored."""
        return coded.codebook(self.places.cpu().numpy(), self.codebook().detach().cpu().numpy())


def share(layers: list[tuple[str, nn.Module]], bits: int, importance: dict[str, Tensor] | None = None) -> None:
    """Give the weights of each layer a codebook. importance: for layers by name, as in `k_means`."""
    for name, module in layers:
        own = None if importance is None else importance[name]
        parametrize.register_parametrization(module, WEIGHT, Shared(getattr(module, WEIGHT), bits, own))

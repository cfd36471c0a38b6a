"""The methods by the names that commands take."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.explain import gradient_maps, perturbation
from rl_gen_lab.explain.grad_cam import grad_cam
from rl_gen_lab.explain.model import Explained
from rl_gen_lab.explain.relevance import relevance

Method = Callable[[Explained, Tensor, Tensor], Tensor]

METHODS: dict[str, Method] = {
    "gradient": gradient_maps.gradient,
    "gradient-x-input": gradient_maps.gradient_x_input,
    "smoothgrad": gradient_maps.smooth_gradient,
    "integrated-gradients": gradient_maps.integrated_gradients,
    "guided": gradient_maps.guided_backpropagation,
    "grad-cam": grad_cam,
    "lrp": relevance,
    "occlusion": perturbation.occlusion,
    "blur": perturbation.blur,
    "rise": perturbation.rise,
}
ALL = "all"


def chosen_methods(name: str, allowed: Iterable[str] = METHODS) -> list[str]:
    """Return the methods of these names, joined by commas, or all. Raises: ConfigError for a name that is none."""
    known = list(allowed)
    if name == ALL:
        return known
    wanted = list(dict.fromkeys(name.split(",")))
    for one in wanted:
        if one not in known:
            raise ConfigError(f"no method {one!r}; there are {', '.join(known)}, and {ALL}.{suggest(one, known)}")
    return wanted


def method_of(name: str, layer: str | None = None) -> Method:
    """Return a method; layer: of Grad-CAM, which alone looks at one layer."""
    if name != "grad-cam":
        return METHODS[name]
    return lambda model, frames, chosen: grad_cam(model, frames, chosen, layer)

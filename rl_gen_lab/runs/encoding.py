"""The nested state of a run as JSON values, with tensors and arrays kept apart from them."""

import math
from typing import Any

import numpy as np
import torch


def encode(value: Any, path: str, tensors: dict[str, torch.Tensor], arrays: dict[str, np.ndarray]) -> Any:
    """Turn a state into JSON values; tensors and arrays move to the two dictionaries, named by their `path`.

    Raises: TypeError for a leaf of another type.
    """
    if isinstance(value, torch.Tensor):
        return {"__tensor__": _put(tensors, path, value)}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {"__array__": _put(arrays, path, value)}
    if isinstance(value, np.bool_ | np.number):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        items = [encode(item, f"{path}/{index}", tensors, arrays) for index, item in enumerate(value)]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        pairs = [(key, encode(item, f"{path}/{key}", tensors, arrays)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return dict(pairs)
        return {"__items__": pairs}  # optimizers number their parameters with ints, which JSON has no keys for
    raise TypeError(f"cannot save a {type(value).__name__} at '{path}' of the state")


def _put(store: dict[str, Any], path: str, value: Any) -> str:
    name = path.removeprefix("/")
    while name in store:
        name += "'"
    store[name] = value
    return name


def decode(tree: Any, tensors: dict[str, torch.Tensor], arrays: dict[str, np.ndarray]) -> Any:
    """Rebuild the state that `encode` took apart.

    Raises: KeyError for a tensor or array that is missing; TypeError, ValueError for what `encode` never wrote.
    """
    if isinstance(tree, list):
        return [decode(item, tensors, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"__tensor__": str(name)}:
            return tensors[name]
        case {"__array__": str(name)}:
            return arrays[name]
        case {"__float__": str(text)}:
            return float(text)
        case {"__tuple__": list(items)}:
            return tuple(decode(item, tensors, arrays) for item in items)
        case {"__items__": list(pairs)}:
            return {key: decode(item, tensors, arrays) for key, item in pairs}
    return {key: decode(item, tensors, arrays) for key, item in tree.items()}

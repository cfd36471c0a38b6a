"""torch, imported at its first use: reading flags and printing --help need none of it, and it takes a second."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """A stand-in for a module, which is imported when an attribute is first asked for."""

    def __getattr__(self, name: str) -> Any:
        """Import the module and return its attribute."""
        module = self.module = vars(self).get("module") or importlib.import_module(self.__name__)
        return getattr(module, name)


if TYPE_CHECKING:
    import torch as torch
else:
    torch = LazyModule("torch")

"""The files of this checkout and what they import, read from their syntax trees."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "envs", "rl_gen_lab")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_file(name: str) -> Path | None:
    """The checkout's file of a dotted module name."""
    path = ROOT.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def names_imported(tree: ast.AST, where: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import, also inside functions and by `import_module("...")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}:{node.lineno}: write relative imports out in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__", "run_module"):
                yield node.lineno, str(node.args[0].value)


@functools.cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    where = str(file.relative_to(ROOT))
    return tuple(names_imported(ast.parse(file.read_text(encoding="utf-8"), where), where))

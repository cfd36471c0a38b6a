"""The rooms of the vision models stand beside each other: none imports another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

VISION = Path(__file__).parent.parent / "rl_gen_lab" / "vision"
ROOMS = sorted(folder.name for folder in VISION.iterdir() if (folder / "__init__.py").is_file())


def modules(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_another(room: str) -> None:
    assert len(ROOMS) >= 4
    others = tuple(f"rl_gen_lab.vision.{other}" for other in ROOMS if other != room)
    for file in (VISION / room).rglob("*.py"):
        assert not [name for name in modules(file) if name.startswith(others)], file

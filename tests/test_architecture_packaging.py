"""What ships, what it is declared to need, and what no file may name."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from checkout import PACKAGES, ROOT, imports, sources


def texts() -> Iterator[Path]:
    """What a person would read or commit: no generated folders."""
    generated = {"build", "dist", "runs", "comparisons", "datasets", "wandb"}
    for top in sorted(ROOT.iterdir()):
        if top.is_file() and top.name != ".git":
            yield top
        elif top.name == ".ci" or (not top.name.startswith(".") and top.name not in generated):
            yield from (f for f in sorted(top.rglob("*")) if f.is_file() and "__pycache__" not in f.parts)


def test_no_file_names_a_package_host_or_somebody_s_folder() -> None:
    # In pieces, so that this file does not hold what it looks for.
    hosts = "|".join(("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "conda" + ".anaconda.org"))
    folders = "|".join(("work", "root", "home", "opt", "mnt", "Users"))
    pattern = re.compile(rf"{hosts}|(?<![\w.)}}\]/-])/(?:{folders})/\w")
    for example in ("/wo" + "rk/main", '"/ro' + 'ot/x"', "https://py" + "pi.org/simple"):
        assert pattern.search(example), example
    wrong = []
    for file in texts():
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a picture
            continue
        name = file.relative_to(ROOT)
        wrong += [f"{name}:{n}: {line.strip()[:100]}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    assert not wrong, "\n".join(wrong)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def plain_name(requirement: str) -> str:
    """Distribution name of a requirement line, as package indexes compare names."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_the_wheel_ships_rl_gen_lab_whole_and_nothing_else() -> None:
    folders = {f.parent.relative_to(ROOT) for f in sources("rl_gen_lab")}
    assert sorted(project()["tool"]["setuptools"]["packages"]) == sorted(".".join(f.parts) for f in folders)
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)


def declared(*extras: str) -> set[str]:
    about = project()["project"]
    lines = about["dependencies"] + [line for e in extras for line in about["optional-dependencies"][e]]
    return {plain_name(line) for line in lines}


# Scripts that write the numbers of a library once, for the tests to compare with; no test needs the library itself.
ORACLES = {"captum_numbers.py": "captum", "quantus_numbers.py": "quantus"}


@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("rl_gen_lab", ("coders", "dashboard", "lessons", "onnx", "vision")),
        ("envs", ("lab", "minigrid")),
        ("agents", ("lab", "ray", "sb3", "sweep", "slurm")),
        ("tests", ("lab", "sb3", "onnx", "dashboard", "sweep", "slurm", "dev")),
    ],
)
def test_everything_imported_is_declared(package: str, extras: tuple[str, ...]) -> None:
    distributions = packages_distributions()
    helpers = {file.stem for file in sources("tests")}
    for file in sources(package):
        for line, name in imports(file):
            top = name.split(".")[0]
            if ORACLES.get(file.name) == top:
                continue
            if top in sys.stdlib_module_names or top in (*PACKAGES, "docs") or top in helpers:  # docs/examples
                continue
            owners = {plain_name(owner) for owner in distributions.get(top, [top])}
            assert owners & declared(*extras), (
                f"{file.relative_to(ROOT)}:{line}: {top} is not declared in pyproject.toml"
            )


def test_everything_declared_is_pinned_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins), pins
    everything = declared(*project()["project"]["optional-dependencies"])
    assert everything <= {plain_name(pin) for pin in pins}

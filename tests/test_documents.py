"""What the documents say is so: commands parse, links and paths resolve, examples run, tables are current."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tyro

from agents import results

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/ground_truth.md")
PACKAGES = ("agents", "envs", "rl_gen_lab")
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
)
SHELL_FENCES = ("sh", "bash", "shell", "console")
# Inline `--flag value`: a flag of any of these commands.
COMMANDS_WITH_FLAGS = (
    *(f"agents.{agent}" for agent in ("dqn", "reinforce", "actor_critic", "ppo", "sb3")),
    *("agents.benchmark", "agents.compare", "agents.play", "agents.results", "agents.truth", "envs.scenes"),
    *("agents.observation", "rl_gen_lab.caption", "rl_gen_lab.look", "rl_gen_lab.train"),
)


def text(document: str) -> str:
    file = ROOT / document
    assert file.is_file(), f"{document} is missing: write it, it is checked here"
    return file.read_text(encoding="utf-8")


def fenced_lines(markdown: str) -> Iterator[str]:
    """Commands of the shell blocks, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        if language in SHELL_FENCES:
            yield from (line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines() if line.strip())


def prose(markdown: str) -> str:
    """The document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)


def inline_code(document: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(text(document)))


def commands() -> Iterator[tuple[str, str]]:
    """Where, and the command: shell blocks of the documents, indented commands of module docstrings."""
    for document in DOCUMENTS:
        if (ROOT / document).is_file():
            yield from ((document, line) for line in fenced_lines(text(document)))
            yield from ((document, code) for code in inline_code(document) if code.startswith(("python -m ", "make ")))
    for module in MODULES:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        docstring = source.split('"""')[1] if source.startswith('"""') else ""
        yield from ((module, line) for line in re.findall(r"^ {4}(python -m .*)$", docstring, re.MULTILINE))


class Parsed(BaseException):
    """Raised in place of what a command would do after its flags were read."""


def parse_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the flags of `MODULE [FLAG ...]` as `python -m` would, and do nothing more."""
    module, *argv = words
    assert module in MODULES, f"there is no module {module}"
    read_flags, look = tyro.cli, importlib.import_module("agents.training.cli").peek_flag

    def stop(*args: object, **kwargs: object) -> None:
        read_flags(*args, **kwargs)  # type: ignore[call-overload]
        raise Parsed

    monkeypatch.setattr(tyro, "cli", stop)
    # A run folder to be resumed need not exist here: the flag is read like any other.
    monkeypatch.setattr(
        "agents.training.cli.peek_flag", lambda argv, name: None if name == "resume" else look(argv, name)
    )
    main = importlib.import_module(module).main
    try:
        main(argv)
    except Parsed:
        return
    except SystemExit as error:
        assert not error.code, f"python -m {shlex.join(words)}: exit code {error.code}"
        return
    raise AssertionError(f"python -m {module} reads no flags by tyro, so nothing was checked")


def check_make(words: list[str]) -> None:
    """Make finds every target; nothing is built."""
    quiet = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    match words:
        case ["make", *rest]:
            check_make(rest)
        case [("python" | "python3" | ".venv/bin/python"), "-m", *rest] if rest:
            parse_command(rest, monkeypatch)
        case [(".venv/bin/wandb" | "wandb"), name, *_]:
            assert name in importlib.import_module("wandb.cli.cli").cli.commands, f"wandb has no command {name}"
        case [".ci/run"]:
            assert os.access(ROOT / ".ci" / "run", os.X_OK)
        case [] | ["git" | "cd", *_]:
            pass
        case _:
            raise AssertionError(f"a command that no test understands: {line!r}")


@pytest.mark.parametrize(("where", "line"), list(commands()))
def test_every_command_of_the_documents_exists_and_takes_its_flags(
    where: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_command(line, monkeypatch)


@pytest.mark.parametrize(
    "line",
    [
        "make no-such-target",
        "python -m agents.no_such_module",
        "python -m agents.dqn --no-such-flag 3",
        "python -m agents.dqn --resume runs/RUN --no-such-flag",
        "python -m agents.dqn --seed three",
        "python -m agents.sb3 --algo nothing",
        "python -m agents.dqn --preset nothing",
        "wandb nothing",
        "rm -r runs",
    ],
)
def test_a_command_that_is_wrong_is_noticed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check_command(line, monkeypatch)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_flag_named_in_prose_exists(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in inline_code(document):
        if code.startswith("--"):
            assert any(accepts(module, code, monkeypatch) for module in COMMANDS_WITH_FLAGS), f"no command takes {code}"


def accepts(module: str, flags: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patch:
        try:
            parse_command([module, *shlex.split(flags)], patch)
        except AssertionError:
            return False
    return True


def anchors(markdown: str) -> set[str]:
    """Names under which headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", prose(markdown), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_resolve(document: str) -> None:
    markdown = prose(text(document))
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", markdown) + re.findall(r"(?:src|href)=\"([^\"]+)\"", markdown)
    for target in targets:
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):  # another site
            continue
        file = ROOT / (path or document)
        assert file.exists(), f"{document}: {target} does not exist"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{document}: no heading for {target}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_named_in_prose_exist(document: str) -> None:
    top = "|".join((*PACKAGES, "configs", "tests"))
    for code in inline_code(document):
        if re.fullmatch(rf"(?:{top})/[\w./]*|[\w.]+\.(?:md|toml|txt)|Makefile|LICENSE", code):
            assert (ROOT / code).exists(), f"{document} names {code}, which does not exist"


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failures == 0


def test_the_tables_of_the_readme_are_those_of_the_recorded_results(monkeypatch: pytest.MonkeyPatch) -> None:
    text("README.md")
    monkeypatch.chdir(ROOT)
    results.main(["--check"])

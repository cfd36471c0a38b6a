"""What the documents say is so: commands parse, links and paths resolve, examples run, tables are current."""

from __future__ import annotations

import argparse
import contextlib
import csv
import doctest
import functools
import importlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tyro
from checkout import PACKAGES, ROOT
from test_architecture import ROOMS

from agents import results
from rl_gen_lab.cli.unused import refuse_unused
from rl_gen_lab.training.config import Config as TrainingConfig

PAGES = tuple(sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").glob("*.md")))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *PAGES)
README_LINES, README_BYTES = 150, 9 * 1024
CONTRIBUTING_LINES = 100
PAGE_LINES = (60, 250)
EXAMPLES = tuple(f"docs.examples.{file.stem}" for file in sorted((ROOT / "docs" / "examples").glob("*.py")))
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
    *("agents.dream", "agents.outside", "rl_gen_lab.audit", "agents.compress", "rl_gen_lab.compress"),
    *(
        "agents.latency",
        "agents.explain",
        "agents.attack",
        "agents.sweep",
        "rl_gen_lab.attack",
        "rl_gen_lab.explain",
        "rl_gen_lab.pack",
    ),
    *("agents.observation", "rl_gen_lab.caption", "rl_gen_lab.look", "rl_gen_lab.sample", "rl_gen_lab.train"),
    *(
        "rl_gen_lab.lessons",
        "rl_gen_lab.style",
        "rl_gen_lab.texture",
        "rl_gen_lab.visualize",
        "agents.visualize",
        "agents.restyle",
        "agents.scale_plan",
        "agents.scale_load",
        "agents.packed_frames",
    ),
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
    for module in (*MODULES, *EXAMPLES):
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
    assert module in (*MODULES, *EXAMPLES), f"there is no module {module}"
    read_flags, look = tyro.cli, importlib.import_module("agents.training.cli").peek_flag

    def stop(*args: object, **kwargs: object) -> None:
        config = read_flags(*args, **kwargs)  # type: ignore[call-overload]
        if isinstance(config, TrainingConfig):
            refuse_unused(getattr(config, config.task), config.task)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", stop)
    # A run folder to be resumed need not exist here: the flag is read like any other.
    monkeypatch.setattr(
        "agents.training.cli.peek_flag", lambda argv, name: None if name == "resume" else look(argv, name)
    )
    # Nor need the run of a dream, whose environment is another here.
    monkeypatch.setattr("agents.training.schemes._register_dream", lambda path: "CartPole-v1")
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


def torchrun_parser() -> argparse.ArgumentParser:
    from torch.distributed.run import get_args_parser  # slow to import

    return get_args_parser()


def check_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    match words:
        case ["make", *rest]:
            check_make(rest)
        case [("python" | "python3" | ".venv/bin/python"), "-m", *rest] if rest:
            parse_command(rest, monkeypatch)
        case [("torchrun" | ".venv/bin/torchrun"), *rest] if "-m" in rest:
            own = rest[: rest.index("-m")]
            torchrun_parser().parse_args([*own, "script"])  # SystemExit for flags of its own that it does not take
            parse_command(rest[rest.index("-m") + 1 :], monkeypatch)
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
        "python -m rl_gen_lab.train detect --detect.proposals 160",
        "wandb nothing",
        "rm -r runs",
    ],
)
def test_a_command_that_is_wrong_is_noticed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check_command(line, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_flag_named_in_prose_exists(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in inline_code(document):
        if code.startswith("--"):
            flag = code.split()[0].partition("=")[0]
            likely = [module for module in COMMANDS_WITH_FLAGS if is_in_help(module, flag)]  # parsing is slow
            known = any(is_in_help(module, code) or accepts(module, code, monkeypatch) for module in likely)
            known = known or any(flag in action.option_strings for action in torchrun_parser()._actions)
            known = known or any(accepts(module, code, monkeypatch) for module in COMMANDS_WITH_FLAGS)
            assert known, f"no command takes {code}"


@functools.cache
def help_of(module: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        importlib.import_module(module).main(["--help"])
    return output.getvalue()


def is_in_help(module: str, flag: str) -> bool:
    """Whether a flag that is named without a value is one of the command's."""
    return re.search(rf"{re.escape(flag.replace('-', '_'))}(?![\w.])", help_of(module).replace("-", "_")) is not None


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
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), f"{document}: {target} does not exist"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{document}: no heading for {target}"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = text("README.md")
    assert len(readme.splitlines()) <= README_LINES
    assert len(readme.encode()) <= README_BYTES
    missing = [page for page in PAGES if f"]({page})" not in readme]
    assert not missing, f"README.md has no link to {missing}"


@pytest.mark.parametrize("document", PAGES)
def test_pages_have_a_size_that_is_read(document: str) -> None:
    fewest, most = PAGE_LINES
    assert fewest <= len(text(document).splitlines()) <= most


def test_the_rules_for_changes_fit_on_a_page() -> None:
    assert len(text("CONTRIBUTING.md").splitlines()) <= CONTRIBUTING_LINES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_named_in_prose_exist(document: str) -> None:
    top = "|".join((*PACKAGES, "configs", "docs", "tests"))
    for code in inline_code(document):
        if re.fullmatch(rf"(?:{top})/[\w./]*|[\w.]+\.(?:md|toml|txt)|Makefile|LICENSE", code):
            assert (ROOT / code).exists(), f"{document} names {code}, which does not exist"


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failures == 0


@pytest.mark.slow
def test_the_tables_of_readme_and_pages_are_those_of_the_recorded_results(monkeypatch: pytest.MonkeyPatch) -> None:
    text("README.md")
    monkeypatch.chdir(ROOT)
    results.main(["--check"])


@pytest.mark.parametrize(("flag", "there"), [("--eval.episodes", True), ("--eval.epi", False), ("--nothing", False)])
def test_a_flag_without_a_value_is_looked_up_in_the_help(flag: str, there: bool) -> None:
    assert is_in_help("agents.dqn", flag) is there


def test_the_rooms_of_the_rules_are_those_of_the_architecture() -> None:
    rows = re.findall(r"^\| `agents/(\w+)/` \| [^|]* \| ([^|]*) \|$", text("CONTRIBUTING.md"), re.MULTILINE)
    written = {room: set(re.findall(r"\w+", allowed)) - {"nothing", "else"} for room, allowed in rows}
    assert written == ROOMS


def test_the_readme_maps_every_folder_of_code() -> None:
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).glob("*/__init__.py")}
    (folder_map,) = re.findall(r"^## Folders\n+```\n(.*?)^```", text("README.md"), re.MULTILINE | re.DOTALL)
    missing = [folder.name for folder in folders if f" {folder.name}/" not in folder_map]
    assert not missing


def test_the_minutes_of_make_pong_are_those_of_its_recorded_runs() -> None:
    with (ROOT / "results" / "pong.csv").open(encoding="utf-8", newline="") as file:
        minutes = [float(row["minutes"]) for row in csv.DictReader(file) if row["what"] == "make pong"]
    said = re.search(r"(\d+) to (\d+) minutes on 2 cores \((\d+) runs\)", text("README.md"))
    assert said is not None
    assert [int(number) for number in said.groups()] == [round(min(minutes)), round(max(minutes)), len(minutes)]

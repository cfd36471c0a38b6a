"""The arrows between the packages, read from the syntax trees: what may import what, and how long it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import PACKAGES, ROOT, imports, module_file, names_imported, sources

# Each of these is an algorithm that stands on its own.
AGENT_FILES = ("dqn", "reinforce", "actor_critic", "ppo", "sb3")
FORBIDDEN = {
    "envs": ("agents", "rl_gen_lab", "stable_baselines3", "torch"),
    "rl_gen_lab": ("agents", "ale_py", "envs", "gymnasium", "stable_baselines3"),
}
# The rooms of agents/: what each may import of the others and of envs/ (and always of itself and of rl_gen_lab).
# Commands may import every room.
ROOMS: dict[str, set[str]] = {
    "rl": set(),
    "training": {"rl", "envs"},
    "reports": set(),
    "experiments": {"training", "reports", "envs"},
    "reference": {"rl", "training", "envs"},
    "perception": {"rl", "training", "envs"},
    "compression": {"rl", "training", "envs"},
    "analysis": {"rl", "training", "envs"},
}
# The imports against the arrows, on demand: `--world.observe detector:RUN` is a setting of every agent, and
# `--env dream:RUN` an environment of every command.
ON_DEMAND = {
    ("agents/training/environments.py", "agents.perception.detectors"),
    ("agents/training/environments.py", "agents.perception.codes"),
    ("agents/training/schemes.py", "agents.perception.dreams"),
}
COMMANDS = (
    *("dqn", "ppo", "actor_critic", "reinforce", "sb3", "play", "compare", "benchmark", "results", "speed", "variance"),
    *("observation", "truth", "dream", "outside", "compress", "latency", "explain", "attack", "visualize", "restyle"),
    *("sweep", "scale_plan", "scale_load", "packed_frames"),
)
# The one door to the run machinery: a reader of an agent goes no further, and only `main` goes through it.
DOOR = "agents.training.launch"
# How far a reader may be sent through the checkout's own imports, up to the door: files (with `__init__`) and lines.
READERS = {"dqn": (20, 2_000), "ppo": (24, 2_120), "actor_critic": (24, 2_120), "reinforce": (24, 2_100)}
LONGEST_FILE, LONGEST_CLASS = 320, 200
# Tests of several modules. Every other test file is named after its module, with a further word where it has several.
SUITES = (
    *("agents_policy_gradients", "agents_reports", "architecture", "docs_examples", "docs_metrics", "documents"),
    *("long_tests", "recorded_runs", "rl_gen_lab_backbones", "rl_gen_lab_vision", "wandb_reader"),
)
# Modules without a test file of their own: settings, protocols, the tables of the games (verified frame by frame)
# and parts that are tested through the module that uses them.
TESTED_BY_OTHERS = re.compile(
    r"\w+_(config|interfaces|task|objects|colors|models)|envs_ground_truth_games_\w+"
    r"|agents_compression_(run|engines)|agents_training_(cli|evaluator|metadata|run_log|start)"
    r"|agents_analysis_(gradient_quality|explanation|explained_film|attack_pictures)"
    r"|agents_observation"
    r"|agents_reports_variance|rl_gen_lab_runs_(files|guards|schemas)|rl_gen_lab_training_checkpoint"
)


def own_files(file: Path) -> set[Path]:
    """The checkout's files that `file` imports."""
    found = set()
    for _, name in imports(file):
        if name.split(".")[0] in PACKAGES:
            # `from package import module` names a module; `from module import thing` does not.
            found.add(module_file(name) or module_file(name.rpartition(".")[0]))
    assert None not in found, f"{file} imports a module of this checkout that does not exist"
    return {f for f in found if f is not None}


def reachable(file: Path, *doors: Path | None) -> set[Path]:
    """`file` and all that it imports, directly or not, with the `__init__` files of the folders on the way.

    doors: files whose own imports are not followed.
    """
    seen: set[Path] = set()
    waiting = {file}
    while waiting:
        current = waiting.pop()
        folders = [p for p in current.parents if p != ROOT and ROOT in p.parents]
        inits = {p / "__init__.py" for p in folders if (p / "__init__.py").is_file()}
        seen.add(current)
        further = set() if current in doors else own_files(current)
        waiting |= (further | inits) - seen
    return seen


def existing_agents() -> list[str]:
    return [name for name in AGENT_FILES if (ROOT / "agents" / f"{name}.py").is_file()]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_along_the_arrows(package: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {package} must not import {name}"
        for file in sources(package)
        for line, name in imports(file)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_an_import_hidden_in_a_function_or_a_string_is_seen() -> None:
    code = "def f():\n    import torch.nn\n    from a import b\n    importlib.import_module('gymnasium')\n"
    assert [name for _, name in names_imported(ast.parse(code), "code")] == ["torch.nn", "a.b", "gymnasium"]


def test_stable_baselines3_is_imported_in_one_folder() -> None:
    folders = {
        str(file.relative_to(ROOT).parent)
        for package in PACKAGES
        for file in sources(package)
        for _, name in imports(file)
        if name.split(".")[0] == "stable_baselines3"
    }
    assert folders == {"agents/reference"}


@pytest.mark.parametrize("agent", existing_agents())
def test_an_agent_file_reaches_no_other_agent_file(agent: str) -> None:
    others = {ROOT / "agents" / f"{name}.py" for name in AGENT_FILES if name != agent}
    met = reachable(ROOT / "agents" / f"{agent}.py") & others
    assert not met, f"agents/{agent}.py leads to {[str(f.relative_to(ROOT)) for f in met]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_files_hold_a_docstring_and_import_nothing(package: str) -> None:
    file = ROOT / package / "__init__.py"
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert not imports(file)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_those_of_this_checkout(package: str) -> None:
    module = __import__(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / package / "__init__.py"


def test_what_one_types_stands_at_the_top_of_agents_and_nothing_else() -> None:
    assert {file.stem for file in (ROOT / "agents").glob("*.py")} == {"__init__", *COMMANDS}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_agents_import_only_along_their_arrows(room: str) -> None:
    allowed = {f"agents.{name}" for name in ROOMS[room] | {room}} | ({"envs"} if "envs" in ROOMS[room] else set())
    wrong = []
    for file in sources(f"agents/{room}"):
        for line, name in imports(file):
            parts = name.split(".")
            place = ".".join(parts[:2]) if parts[0] == "agents" else parts[0]
            path = str(file.relative_to(ROOT))
            if parts[0] in ("agents", "envs") and place not in allowed and (path, name) not in ON_DEMAND:
                wrong.append(f"{path}:{line}: {room} must not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("agent", READERS)
def test_a_reader_of_an_agent_is_not_sent_far(agent: str) -> None:
    files = reachable(ROOT / "agents" / f"{agent}.py", module_file(DOOR))
    lines = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    table = "\n".join(f"{count:6} {name}" for name, count in sorted(lines.items(), key=lambda item: -item[1]))
    most_files, most_lines = READERS[agent]
    within = len(lines) <= most_files and sum(lines.values()) <= most_lines
    assert within, f"{len(lines)} files (at most {most_files}), {sum(lines.values())} lines ({most_lines})\n{table}"


def uses_of(tree: ast.Module, name: str) -> set[str]:
    """Functions and classes at the top of a module that use a name; "" for the module's own level."""
    users = set()
    for node in tree.body:
        inside = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        if name in inside:
            users.add(getattr(node, "name", ""))
    return users


@pytest.mark.parametrize("agent", existing_agents())
def test_the_door_is_named_only_in_main(agent: str) -> None:
    tree = ast.parse((ROOT / "agents" / f"{agent}.py").read_text(encoding="utf-8"))
    assert uses_of(tree, "launch") == {"main"}


def test_nothing_but_the_agents_goes_through_the_door() -> None:
    door = DOOR.rpartition(".")[0]
    users = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in sources(package)
        for _, name in imports(file)
        if name.startswith(f"{door}.launch.") or name == DOOR
    }
    assert users == {f"agents/{name}.py" for name in existing_agents()}


def test_a_run_resolves_its_names_once() -> None:
    """The parts of a run take the full id from its specification; choosing presets needs it before there is one."""
    training = [file for file in sources("agents/training") if "names.resolve(" in file.read_text(encoding="utf-8")]
    assert [file.name for file in training] == ["cli.py", "metadata.py"]


def test_no_file_and_no_class_is_long() -> None:
    wrong = []
    for package in (*PACKAGES, "tests", "docs"):
        for file in sources(package):
            text, name = file.read_text(encoding="utf-8"), file.relative_to(ROOT)
            if (count := len(text.splitlines())) > LONGEST_FILE:
                wrong.append(f"{name}: {count} lines, at most {LONGEST_FILE}")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
                    length = node.end_lineno - node.lineno + 1
                    if length > LONGEST_CLASS:
                        wrong.append(f"{name}: class {node.name} has {length} lines, at most {LONGEST_CLASS}")
    assert not wrong, "\n".join(wrong)


def test_test_files_mirror_modules() -> None:
    files = [file for package in PACKAGES for file in sources(package) if file.name != "__init__.py"]
    modules = {"_".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    tests = {file.stem.removeprefix("test_") for file in (ROOT / "tests").glob("test_*.py")}

    def belongs(test: str, names: set[str]) -> bool:
        return any(test == name or test.startswith(f"{name}_") for name in names)

    strays = {test for test in tests if not belongs(test, modules | set(SUITES))}
    assert not strays, f"named after no module: {strays}"
    untested = {name for name in modules if not any(belongs(test, {name}) for test in tests)}
    untested = {name for name in untested if not TESTED_BY_OTHERS.fullmatch(name)}
    assert not untested, f"modules without a test file: {untested}"


def test_common_lines_of_ppo_and_actor_critic_are_few() -> None:
    first, second = (
        (ROOT / "agents" / f"{name}.py").read_text(encoding="utf-8").splitlines() for name in ("ppo", "actor_critic")
    )
    # Length of the longest common subsequence, row by row.
    row = [0] * (len(second) + 1)
    for line in first:
        new = [0]
        for j, other in enumerate(second):
            new.append(row[j] + 1 if line == other else max(row[j + 1], new[-1]))
        row = new
    assert row[-1] <= 90, f"{row[-1]} lines of agents/ppo.py stand in agents/actor_critic.py, in order"


def command_modules() -> list[str]:
    """Every module of the packages that runs as a command."""
    files = [file for package in PACKAGES for file in sources(package)]
    modules = [file for file in files if '__name__ == "__main__"' in file.read_text(encoding="utf-8")]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in modules]


def test_every_command_is_found() -> None:
    found = set(command_modules())
    assert {*(f"agents.{name}" for name in COMMANDS), "envs.scenes", "rl_gen_lab.train", "rl_gen_lab.look"} <= found


def test_help_and_a_wrong_flag_need_no_torch() -> None:
    modules = sorted(set(command_modules()) - {"agents.reference.plain"})
    code = (  # all in one process, for most of the time is its start
        "import contextlib, io, runpy, sys\n"
        "heavy = {'torch', 'stable_baselines3', 'wandb', 'matplotlib', 'pandas', 'cv2', 'scipy'}\n"
        "for module in sys.argv[1:]:\n"
        "    said = []\n"
        "    for flag in ('--help', '--no-such-flag'):\n"
        "        sys.argv = ['x', flag]\n"
        "        out = io.StringIO()\n"
        "        quiet = contextlib.redirect_stdout(out), contextlib.redirect_stderr(out)\n"
        "        with contextlib.suppress(SystemExit), quiet[0], quiet[1]:\n"
        "            runpy.run_module(module, run_name='__main__', alter_sys=True)\n"
        "        said.append(bool(out.getvalue()))\n"
        "    print(module, sorted(heavy & set(sys.modules)), said)"
    )
    words = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", code, *modules]  # modules that others imported
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{module} [] [True, True]" for module in modules]

"""The start of a run at Weights & Biases: its mode, names, group, tags and settings."""

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from typing import Any, get_args

from rl_gen_lab.cli.errors import CheckpointError, ConfigError, SaveError, suggest
from rl_gen_lab.cli.settings import WandbConfig, WandbMode
from rl_gen_lab.cli.spelling import earlier_spelling
from rl_gen_lab.runs.files import plain, replace_file
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import git_commit
from rl_gen_lab.runs.reading import read_bytes
from rl_gen_lab.tracking.wandb_names import as_before, hidden_variables

START_SECONDS = 8  # time limit of W&B's server to answer before the run goes offline
# Settings of later versions, and the value of all runs before them.
LATER: dict[str, Any] = {"eval.stochastic": False, "acting_lag_updates": 0}
ID_FILE = "wandb_id"  # in the run folder
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
FINISH_SECONDS = 60  # time limit of the last upload; the rest stays on disk for `wandb sync`


def run_arguments(
    run: RunFolder,
    config: WandbConfig,
    *,
    algo: str,
    env_id: str,
    seed: int,
    flat_config: dict[str, Any],
    fingerprint_hash: str,
    job_type: str,
) -> dict[str, Any]:
    """Return the arguments of `wandb.init` that identify the run. config: as `wandb_names.resolve` returns it.

    Raises: SaveError.
    """
    arguments = {
        "project": config.project,
        "entity": config.entity,
        "group": (config.group or f"{algo}-{env_id}-{settings_hash(flat_config)}")[:128],
        "job_type": os.environ.get("WANDB_JOB_TYPE") or job_type,
        "name": (os.environ.get("WANDB_NAME") or run.path.name)[:128],
        "id": run_id(run),
        "notes": config.notes,
    }
    arguments = as_before(run, arguments)
    # The group is a tag too, because W&B's terminal dashboard can filter by tag but not by group.
    tags = [*config.tags, arguments["group"], f"task:{fingerprint_hash}", f"commit:{git_commit()[:10]}"]
    # Flat keys under these names are what the Open RL Benchmark reads.
    names = {"env_id": env_id, "exp_name": algo, "seed": seed, "fingerprint": fingerprint_hash}
    return arguments | {
        "tags": list(dict.fromkeys(tag[:64] for tag in tags if tag)),
        "config": plain({**flat_config, **names}),
    }


def choose_mode(setting: WandbMode, stored: Callable[[], Mapping[str, str]] = dict) -> tuple[WandbMode, str]:
    """Return the mode to start with and a line to print, or "".

    Order: the setting, then WANDB_MODE, then W&B's settings files (`stored`, see `wandb_names.stored_settings`), then
    online where a key is stored and the library is there, else offline. Never asks a question.
    Raises ConfigError for an unknown mode.
    """
    mode = setting
    if mode == "auto":
        mode = _known(os.environ.get("WANDB_MODE", ""), "WANDB_MODE")
    if mode == "auto":
        mode = _known(stored().get("mode", ""), "mode in W&B's settings")
        if mode in ("offline", "disabled"):  # the user's own word, given some time ago: say whose it is
            return mode, f"W&B's settings say {mode}; `wandb online`, or --wandb.mode online, changes that"
    if mode not in ("auto", "online"):
        return mode, ""
    if not _importable():
        return "offline", ""  # the session says why even that is impossible
    if _has_key():
        return "online", ""
    if os.environ.get("WANDB_API_KEY"):
        return "offline", "W&B takes what WANDB_API_KEY holds for no key: recording offline"
    return (
        "offline",
        "W&B has no key to go online with (`wandb login` stores one): recording offline" if mode == "online" else "",
    )


def _known(text: str, source: str) -> WandbMode:
    """Return a mode in our words, "auto" for none. Raises ConfigError for an unknown one."""
    synonyms = {"": "auto", "dryrun": "offline", "run": "online", "shared": "online"}
    word = text.strip().lower()
    for mode in get_args(WandbMode):
        if synonyms.get(word, word) == mode:
            return mode
    known = get_args(WandbMode)[1:]
    raise ConfigError(f"{source} is '{word}', but must be one of {', '.join(known)}.{suggest(word, known)}")


def _importable() -> bool:
    try:
        import wandb  # noqa: F401
    except Exception:  # missing, or broken in any way
        return False
    return True


def _has_key() -> bool:
    try:
        import wandb

        # The mode, because login ignores keys under WANDB_MODE=offline; silent, because else it asks the server.
        with hidden_variables(), redirect_stderr(io.StringIO()):
            wandb.setup(settings=wandb.Settings(mode="online", silent=True))
            return bool(wandb.login(prompt=False, verify=False))
    except Exception:  # a key of the wrong form
        return False


def settings(wandb: Any) -> Any:
    """Return W&B's settings: quiet, nothing uploaded except the record, every wait limited."""
    values = {
        "init_timeout": START_SECONDS,
        "finish_timeout": FINISH_SECONDS,
        "finish_timeout_raises": True,
        "console": "off",  # the progress display would fill it
        "silent": True,
        "disable_code": True,
        "disable_git": True,
        "save_code": False,
        "x_transaction_log_flush_interval": 1,  # seconds that a kill can lose
    }
    return wandb.Settings(**{name: value for name, value in values.items() if name in wandb.Settings.model_fields})


def refuse_id_folder(run: RunFolder) -> None:
    """Raise SaveError where a folder stands in the place of the run's id, before W&B makes folders of its own."""
    if (run.path / ID_FILE).is_dir():
        raise SaveError(f"cannot write {run.path / ID_FILE}: it is a folder; remove it")


def run_id(run: RunFolder) -> str:
    """Return the id of the run at W&B, made once, so that a resumed run continues the same curve online."""
    file, new_id = run.path / ID_FILE, secrets.token_hex(4)
    try:
        found = read_bytes(file, most=1_000).decode(errors="replace").strip()
    except CheckpointError:
        found = ""
    if RUN_ID.fullmatch(found):  # W&B names folders after it
        return found
    replace_file(file, lambda new: new.write_text(new_id, encoding="utf-8"))
    return new_id


def settings_hash(flat_config: dict[str, Any]) -> str:
    """Hash the settings that the runs of a group share: all but the seed and those of W&B.

    Names are hashed as earlier versions spelled them, and settings that came later only where they change something, so
    that runs of then and now are one group.
    """
    shared = {key: value for key, value in flat_config.items() if key != "seed" and not key.startswith("wandb.")}
    shared = {key: value for key, value in shared.items() if key not in LATER or value != LATER[key]}
    common = {earlier_spelling(key): value for key, value in shared.items()}
    return hashlib.sha256(json.dumps(plain(common), sort_keys=True).encode()).hexdigest()[:8]


def safe_name(text: str) -> str:
    """Replace the characters that W&B does not allow in the name of an artifact."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)

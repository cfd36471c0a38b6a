"""How a run presents itself to Weights & Biases: mode, names, group, tags, settings."""

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, get_args

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.settings import WandbConfig, WandbMode
from rl_gen_lab.runs.files import plain, replace_file
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import git_commit

START_SECONDS = 8  # how long W&B's server may take to answer before the run goes offline
FINISH_SECONDS = 60  # how long the last upload may take; what is left stays on disk for `wandb sync`


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
    """Give the arguments of `wandb.init` that say what the run is."""
    group = config.group or f"{algo}-{env_id}-{settings_hash(flat_config)}"
    # The group is a tag too, because W&B's terminal dashboard can filter by tag but not by group.
    tags = [*config.tags, group, f"task:{fingerprint_hash}", f"commit:{git_commit()[:10]}"]
    # Flat keys under these names are what the Open RL Benchmark reads.
    names = {"env_id": env_id, "exp_name": algo, "seed": seed, "fingerprint": fingerprint_hash}
    return {
        "project": config.project,
        "entity": config.entity,
        "group": group[:128],
        "job_type": job_type,
        "name": run.path.name,
        "id": run_id(run),
        "tags": list(dict.fromkeys(tag[:64] for tag in tags if tag)),
        "config": plain({**flat_config, **names}),
    }


def choose_mode(asked: WandbMode) -> tuple[WandbMode, str]:
    """Give the mode to start with and a line to print, or "".

    Order: what was asked for, then WANDB_MODE, then online where a key is stored and the library is there,
    else offline. Never asks a question. Raises ConfigError for an unknown WANDB_MODE.
    """
    mode: str = asked
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "").lower().replace("dryrun", "offline") or "auto"
        if mode not in get_args(WandbMode):
            known = get_args(WandbMode)[1:]
            raise ConfigError(f"WANDB_MODE is '{mode}', but must be one of {', '.join(known)}.{suggest(mode, known)}")
    if mode not in ("auto", "online"):
        return mode, ""  # type: ignore[return-value]
    if not _importable():
        return "offline", ""  # whoever starts it says why not even that is possible
    if _has_key():
        return "online", ""
    if os.environ.get("WANDB_API_KEY"):
        return "offline", "W&B takes what WANDB_API_KEY holds for no key: recording offline"
    return (
        "offline",
        "W&B has no key to go online with (`wandb login` stores one): recording offline" if mode == "online" else "",
    )


def _importable() -> bool:
    try:
        import wandb  # noqa: F401
    except Exception:  # missing, or broken in any way
        return False
    return True


def _has_key() -> bool:
    try:
        import wandb

        # The mode, because login knows no key under WANDB_MODE=offline; silent, because else it asks the server.
        with no_mode_variable(), redirect_stderr(io.StringIO()):
            wandb.setup(settings=wandb.Settings(mode="online", silent=True))
            return bool(wandb.login(prompt=False, verify=False))
    except Exception:  # a key of the wrong form
        return False


@contextmanager
def no_mode_variable() -> Iterator[None]:
    """Hide WANDB_MODE, which `choose_mode` has read: wandb itself trips over "Offline" and over an empty one."""
    mode = os.environ.pop("WANDB_MODE", None)
    try:
        yield
    finally:
        if mode is not None:
            os.environ["WANDB_MODE"] = mode


def settings(wandb: Any) -> Any:
    """Give W&B's settings: quiet, nothing uploaded but the record, and no wait without an end."""
    wanted = {
        "init_timeout": START_SECONDS,
        "finish_timeout": FINISH_SECONDS,
        "finish_timeout_raises": True,
        "console": "off",  # the progress display would fill it
        "silent": True,
        "disable_code": True,
        "disable_git": True,
        "save_code": False,
        "x_transaction_log_flush_interval": 1,  # seconds a kill can cost
    }
    return wandb.Settings(**{name: value for name, value in wanted.items() if name in wandb.Settings.model_fields})


def run_id(run: RunFolder) -> str:
    """Give the id of the run at W&B, made once, so that a resumed run continues the same curve online."""
    file = run.path / "wandb_id"
    if not file.is_file():
        replace_file(file, lambda new: new.write_text(secrets.token_hex(4), encoding="utf-8"))
    return file.read_text(encoding="utf-8").strip()


def settings_hash(flat_config: dict[str, Any]) -> str:
    """Hash what the runs of one group have in common: everything but the seed and how the run is recorded."""
    common = {key: value for key, value in flat_config.items() if key != "seed" and not key.startswith("wandb.")}
    return hashlib.sha256(json.dumps(plain(common), sort_keys=True).encode()).hexdigest()[:8]


def safe_name(text: str) -> str:
    """Give the text with only the characters that W&B allows in the name of an artifact."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)

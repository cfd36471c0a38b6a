"""What the files of a run hold, by the types that their readers count on; names that are not listed may be anything."""

from __future__ import annotations

from typing import Any

from rl_gen_lab.runs.reading import WHOLE, ListOf, Needed, NotNegative

OPTIONAL = (float, None)
COUNT = (WHOLE, None)
SIDE = range(1, 16_385)  # of an image [px]
OBJECT: dict[Any, Any] = {}
SETTINGS: dict[Any, Any] = {  # what is read without the class of the settings, which checks all of them
    "env": str,
    "task": str,
    "data": (str, None),
    "run": (str, None, {"total_minutes": OPTIONAL}),
    "world": {"observe": str},
    "eval": OBJECT,
    "policy": OBJECT,
    "device": (str, {"threads": COUNT}),
    "threads": COUNT,
    "total_env_steps": COUNT,
    "total_minutes": OPTIONAL,
}
CONFIG: dict[Any, Any] = {
    "config": SETTINGS,
    "env_id": str,
    "exp_name": str,
    "seed": WHOLE,
    "fingerprint": Needed({"text": str, "hash": str, "fields": OBJECT}, ("text", "hash")),
    "data": str,
    "pixels": str,
    "images": ({...: WHOLE}, None),
    "steps": ({...: WHOLE}, None),
    "image_size": ListOf(SIDE, 2, 2),
    "categories": ListOf(str, most=10_000),
    "vocabulary": ListOf(str, most=1_000_000),
    "sizes": {...: ListOf((float, ListOf(float)))},
    "grammar": {...: ListOf(str)},
    "colors": ListOf(ListOf(range(256), 3, 3), 1, 1_000_000),
    "plans": ListOf(ListOf(object, 2, 2), most=1_000),
    "world": OBJECT,
    "generator": OBJECT,
    "recipe": OBJECT,
    "versions": (OBJECT, None),
    "hardware": ({"cpu": (str, None), "cores": COUNT, "memory_gb": OPTIONAL, "gpu": (str, None)}, None),
    "command": ListOf(str, most=100_000),
    "ranks": {"size": WHOLE, "launch": str},
}
MOST_EPISODES = 100_000  # of an evaluation
EVALUATION: dict[Any, Any] = {
    "return_mean": OPTIONAL,
    "returns": ListOf(float, most=MOST_EPISODES),
    "lengths": ListOf(WHOLE, most=MOST_EPISODES),
    "protocol": (OBJECT, None),
    "global_step": WHOLE,
}
NUMBER = (float, "")  # in a table
SIZES = ("one_network_bytes", "order0_bytes", "huffman_bytes", "deep_compression_bytes", "xz_bytes")
SCORED = ("score_error", "score_low", "episodes", "images", "eval_seed", "numbers", "nonzero", "minutes")
# What a compression measured of a stage.
STAGE: dict[Any, Any] = {
    "stage": WHOLE,
    "kind": str,
    "settings": str,
    "metric": str,
    "bytes": range(1, 2**63),
    "score": float,
    **dict.fromkeys((*SIZES, *SCORED), NUMBER),
}
MEASURED = ("stage", "kind", "bytes", "score")
METRICS: dict[Any, Any] = {...: OPTIONAL}
RESULT: dict[Any, Any] = {
    "status": str,
    "total_env_steps": COUNT,
    "updates": COUNT,
    "episodes": COUNT,
    "wall_seconds": (NotNegative, None),
    "steps_per_second": OPTIONAL,
    "peak_memory_mb": OPTIONAL,
    "best_eval": (EVALUATION, None),
    "final_eval": (EVALUATION, None),
    "solved": ({"return_mean": OPTIONAL, "env_steps": WHOLE, "wall_seconds": (NotNegative, None)}, None),
    "epochs": COUNT,
    "best_epoch": COUNT,
    "parameters": COUNT,
    "latency_ms": OPTIONAL,
    "goal": str,
    "test": (METRICS, None),
    "val": (METRICS, None),
    "ledger": ListOf(
        Needed(STAGE | {"ratio": float, "ratio_all_networks": float}, (*MEASURED, "ratio")), 1, most=10_000
    ),
}
# A line of metrics.jsonl.
LINE = Needed({"global_step": WHOLE, "wall_seconds": NotNegative, ...: OPTIONAL}, ("global_step",))
FILE: dict[Any, Any] = {"bytes": WHOLE, "crc32": WHOLE}
# state.json of a checkpoint; `rl_gen_lab.runs.encoding` reads the state itself.
MANIFEST: dict[Any, Any] = {"version": WHOLE, "crc32": WHOLE, "files": {...: FILE}, "state": OBJECT}
# The checkpoint of a compression, beside its network and its optimizer.
COMPRESSION = Needed(
    {
        "stage": WHOLE,
        "update": WHOLE,
        "segments": WHOLE,
        "rows": ListOf(Needed(STAGE, MEASURED), most=10_000),
        "plans": OBJECT,
        "seconds": float,
        "network": OBJECT,
        "optimizer": (OBJECT, None),
    }
)

"""Run folders as an agent would leave them, with a known learning curve: for tests of what reads them."""

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from agents.reports.comparison import Comparison, compare_runs
from agents.reports.run_record import load_run
from rl_gen_lab.runs.folder import RunFolder

# The beginning of a video file, so that no encoder is needed.
MP4 = base64.b64decode("AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAAIZnJlZQ==")
TASK = {"env_id": "ALE/Pong-v5", "sticky": 0.25, "frame_skip": 4, "image_size": 84}


def make_run(
    root: Path,
    exp_name: str = "dqn",
    seed: int = 1,
    *,
    env_id: str = "ALE/Pong-v5",
    task: dict[str, Any] | None = None,
    solved_at: float = 100_000,
    steps: int = 200_000,
    minutes: float = 20.0,
    evaluations: int = 10,
    eval_episodes: int = 20,
    settings: dict[str, Any] | None = None,
    status: str | None = "finished",
    command: list[str] | None = None,
    video: bool = False,
    solved: bool = False,
) -> Path:
    """Write a run whose return rises from -21 to 21 along a logistic curve, its middle at `solved_at` steps.

    Time passes evenly: `steps` agent steps in `minutes`. `status` None leaves out result.json.
    """
    rng = np.random.default_rng([seed, len(exp_name), int(solved_at)])
    fields = {**TASK, "env_id": env_id} | (task or {})
    run = RunFolder.create(root, exp_name, env_id, seed)
    run.write_config(
        {
            "config": {
                "seed": seed,
                "run": {"total_minutes": minutes, "runs_dir": str(root)},
                "device": {"threads": 1},
                **(settings or {}),
            },
            "env_id": env_id,
            "exp_name": exp_name,
            "seed": seed,
            "fingerprint": {
                "text": f"{env_id} sticky {fields['sticky']} skip 4 grey {fields['image_size']}px",
                "hash": f"{zlib.crc32(str(sorted(fields.items())).encode()):012x}",
                "fields": fields,
            },
            "versions": {"torch": "2.13.0", "gymnasium": "1.4.0"},
            "hardware": {"cpu": "Test CPU", "cores": 2, "memory_gb": 7.6, "gpu": ""},
            "commit": "0123456789abcdef",
            "command": command or ["python", "-m", f"agents.{exp_name}", "--seed", str(seed)],
            "started": f"2026-01-0{seed}T12:00:00",
        }
    )

    def level(step: float) -> float:
        return float(42 / (1 + np.exp(-(step - solved_at) / (0.12 * solved_at))) - 21)

    def episodes_at(step: float, count: int, noise: float) -> np.ndarray:
        return np.clip(np.round(level(step) + rng.normal(0, noise, count)), -21, 21)

    ends = np.arange(900, steps + 1, 900)
    every = steps // evaluations if evaluations else steps + 1
    rows = [(int(step), "train") for step in ends] + [(i * every, "eval") for i in range(1, evaluations)]
    for step, phase in sorted(rows):
        line: dict[str, Any] = {"global_step": step, "wall_seconds": 60.0 * minutes * step / steps}
        if phase == "train":
            line |= {
                "charts/episodic_return": float(episodes_at(step, 1, 4.0)[0]),
                "charts/episodic_length": 900,
            }
        else:
            returns = episodes_at(step, eval_episodes, 1.5)
            line |= {"eval/return_mean": float(returns.mean()), "eval/return_std": float(returns.std())}
            line |= {"eval/episodes": eval_episodes, "charts/peak_memory_mb": 900.0 + seed}
        run.append_metrics(line)
    if status:
        final = episodes_at(steps, eval_episodes, 1.5)
        run.write_result(
            {
                "status": status,
                "solved": {"return_mean": 18.0} if solved else None,
                "total_env_steps": steps,
                "updates": steps // 2,
                "wall_seconds": 60.0 * minutes,
                "episodes": len(ends),
                "steps_per_second": steps / (60.0 * minutes),
                "peak_memory_mb": 950.0 + seed,
                "final_eval": {
                    "return_mean": float(final.mean()),
                    "returns": final.tolist(),
                    "lengths": [1700] * eval_episodes,
                    "protocol": {"episodes": eval_episodes, "seed": 7, "epsilon": 0.0},
                },
            }
        )
    if video:
        (run.videos / "final.mp4").write_bytes(MP4)
    return run.path


def three_runs(root: Path) -> Comparison:
    """Compare two runs of an agent that learns and one of an agent that does not."""
    runs = [make_run(root, "dqn", seed, solved_at=80_000, video=seed == 1) for seed in (1, 2)]
    runs.append(make_run(root, "sb3_dqn", 1, solved_at=900_000))
    return compare_runs([load_run(path) for path in runs])

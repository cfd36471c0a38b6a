"""What the processes of one `torchrun` do in the tests of agents that train in several. Argument: folder of runs."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from agents.rl.interfaces import Episode
from agents.training.session import RecordedRun
from rl_gen_lab.distributed.group import joined
from rl_gen_lab.distributed.ranks import Ranks

COMMON = "--wandb.mode disabled --eval.episodes 2 --eval.final-episodes 2 --no-film --rank-timeout-seconds 120 --seed 3"
FLAGS = {
    "ppo": "--env CartPole --total-env-steps 1024 --num-envs 4 --rollout-steps 64 --minibatch-size 64 --epochs 2"
    " --normalize-obs --normalize-rewards --eval.every-env-steps 512 --checkpoint-every-env-steps 256",
    "actor_critic": "--env CartPole --total-env-steps 512 --num-envs 4 --rollout-steps 16 --eval.every-env-steps 0"
    " --normalize-advantages --checkpoint-every-env-steps 128",
    "reinforce": "--env CartPole --total-env-steps 600 --num-envs 4 --eval.every-env-steps 0 --value-updates 2"
    " --value-batch-size 64 --checkpoint-every-env-steps 100",
    "dqn": "--env CartPole --total-env-steps 400 --num-envs 4 --batch-size 16 --learning-starts-env-steps 100"
    " --replay.capacity 1000 --eval.every-env-steps 0 --checkpoint-every-env-steps 120",
}


def weights_hash(run: RecordedRun) -> str:
    """Hash all weights and buffers of the network that learns."""
    found = hashlib.sha256()
    for tensor in run.network.state_dict().values():
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()[:16]


def trained(algo: str, runs: Path, *words: str, stop_after: int | None = None) -> dict[str, Any]:
    """Train an agent; return the hash of its weights at the end. stop_after: the update at which this process stops."""
    found: dict[str, Any] = {}
    real_end, real_record = RecordedRun.end, RecordedRun.record

    def end(run: RecordedRun) -> None:
        found.update(weights=weights_hash(run))  # before the first process loads its best ones
        real_end(run)
        found.update(env_steps=run.log.env_steps, games=run.env_runner.obs.tolist())

    def record(
        run: RecordedRun,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: Mapping[str, float],
    ) -> None:
        run.interrupt.asked = run.interrupt.asked or (stop_after is not None and updates >= stop_after)
        real_record(run, env_steps, updates, episodes, learned, status)

    RecordedRun.end, RecordedRun.record = end, record  # type: ignore[method-assign]
    try:
        command = import_module(f"agents.{algo}").main
        command([*words] if words else [*FLAGS[algo].split(), *COMMON.split(), "--runs-dir", str(runs)])
    except SystemExit as stop:
        found["code"] = stop.code
    finally:
        RecordedRun.end, RecordedRun.record = real_end, real_record  # type: ignore[method-assign]
    return found


def main() -> None:
    """Train each agent to its end, and PPO and DQN once more with a stop on the way."""
    runs, ranks, found = Path(sys.argv[1]), Ranks.of(), {}
    with joined(ranks, 120):
        for algo in FLAGS:
            found[algo] = trained(algo, runs / algo)
        for algo in ("ppo", "dqn"):
            name = f"{algo}_resumed"
            found[f"{algo}_stopped"] = trained(algo, runs / name, stop_after=4 if ranks.rank else None)
            (run,) = (runs / name).iterdir()
            found[name] = trained(algo, runs / name, "--resume", str(run))
        (run,) = (runs / "one").iterdir()
        found["ppo_from_one"] = trained("ppo", runs / "one", "--resume", str(run))
    (runs / f"agents{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()

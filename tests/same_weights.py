"""Show that a change of the code leaves what is learned as it was: tiny runs here and at another commit, bit for bit.

    python tests/same_weights.py --base HEAD~1

Each run trains for seconds with flags that both checkouts know. The final weights (names, shapes, bytes) are hashed and
compared. Floating-point results differ between processors and torch versions, so hashes are kept for this machine only,
in build/same_weights/, one file per commit of the base.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "same_weights"
AGENT = "--wandb.mode disabled --no-film --total-env-steps {steps} --eval.every-env-steps {steps} --eval.episodes 2"
AGENT += " --eval.final-episodes 2 --checkpoint-every-env-steps {steps} --log-every-env-steps 500"
PONG = "--env Pong --num-envs 4 --world.image-size 36 --world.max-episode-frames 400 --backbone small --preset defaults"
VISION = "--epochs 1 --wandb.mode disabled --data {data}"
# name -> (module, flags, agent steps); "{data}" becomes a folder of labeled frames.
RUNS: dict[str, tuple[str, str, int]] = {
    "dqn": ("agents.dqn", "--env CartPole", 3_000),
    "dqn_snapshots": ("agents.dqn", "--env CartPole --ensemble-size 3 --ensemble-every-env-steps 500", 2_500),
    "dqn_prioritised": ("agents.dqn", "--env CartPole --replay.priority-exponent 0.5 --n-step-end 1", 2_500),
    "dqn_pong": (
        "agents.dqn",
        PONG + " --learning-starts-env-steps 200 --standardise --replay.capacity 2000",
        600,
    ),
    "ppo": ("agents.ppo", "--env CartPole", 4_096),
    "ppo_pong": ("agents.ppo", PONG + " --rollout-steps 64 --normalise-obs", 1_024),
    "ppo_recurrent": ("agents.ppo", "--env CartPole --preset defaults --lstm-units 16 --bptt-steps 8", 3_072),
    "ppo_continuous": ("agents.ppo", "--env Pendulum --noise-hold-steps 4 --normalise-rewards", 4_096),
    "actor_critic": ("agents.actor_critic", "--env CartPole", 3_000),
    "actor_critic_recurrent": ("agents.actor_critic", "--env CartPole --preset defaults --lstm-units 16", 2_000),
    "actor_critic_critic": ("agents.actor_critic", "--env MountainCar", 3_000),
    **{
        f"reinforce_{baseline}": ("agents.reinforce", f"--env CartPole --baseline {baseline}", 3_000)
        for baseline in ("none", "mean", "moving-average", "leave-one-out", "learned")
    },
    "reinforce_bootstrap": ("agents.reinforce", "--env Pendulum --baseline learned", 4_000),
    "sb3_ppo": ("agents.sb3", "--algo ppo --env CartPole", 2_000),
    "sb3_dqn": ("agents.sb3", "--algo dqn --env CartPole", 2_000),
    "detect": ("rl_gen_lab.train", "detect " + VISION, 0),
    "detect_two_stage": ("rl_gen_lab.train", "detect --detect.model faster-rcnn " + VISION, 0),
    "caption": ("rl_gen_lab.train", "caption " + VISION, 0),
    "segment": ("rl_gen_lab.train", "segment " + VISION, 0),
    "classify": ("rl_gen_lab.train", "classify " + VISION, 0),
}


def command(tree: Path, module: str, flags: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a module of a checkout with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree), "WANDB_MODE": "disabled"}
    return subprocess.run(
        [sys.executable, "-m", module, *flags], cwd=tree, env=environment, capture_output=True, text=True
    )


def digest(file: Path) -> str:
    """SHA-256 of the names, types, shapes and bytes of all tensors, without the metadata."""
    found = hashlib.sha256()
    with safe_open(file, "np") as saved:
        for name in sorted(saved.keys()):
            tensor = saved.get_tensor(name)
            found.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            found.update(tensor.tobytes())
    return found.hexdigest()


def weights(tree: Path, names: list[str], data: Path) -> dict[str, str]:
    """The hash of the final weights of each run, made by the code of a checkout."""
    found = {}
    for name in names:
        module, flags, steps = RUNS[name]
        with tempfile.TemporaryDirectory() as folder:
            words = [*flags.format(data=data).split(), "--runs-dir", folder]
            if steps:
                words += AGENT.format(steps=steps).split()
            done = command(tree, module, words)
            files = sorted(Path(folder).glob("*/checkpoints/*.safetensors"))
            last = [file for file in files if file.stem == "last"] or files
            found[name] = digest(last[0]) if last and done.returncode == 0 else f"failed: {done.stderr[-500:]}"
        print(f"  {name}: {found[name][:16] if done.returncode == 0 else found[name]}", flush=True)
    return found


def make_data(tree: Path, folder: Path) -> Path:
    """Labeled frames of Pong, the same for both checkouts."""
    data = folder / "pong"
    done = command(tree, "envs.scenes", ["--env", "Pong", "--frames", "48", "--out", str(data)])
    assert done.returncode == 0, done.stderr
    return data


def base_weights(revision: str, names: list[str]) -> dict[str, str]:
    """The hashes at another commit, from the cache or by runs in a worktree."""
    commit = subprocess.check_output(["git", "rev-parse", revision], cwd=ROOT, text=True).strip()
    file = CACHE / f"{commit}.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    missing = [name for name in names if known.get(name, "failed").startswith("failed")]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=ROOT, check=True)
            try:
                print(f"at {commit[:12]}:", flush=True)
                known |= weights(tree, missing, make_data(tree, Path(folder)))
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=2) + "\n")
    return {name: known[name] for name in names}


def main() -> None:
    """Compare the weights of this checkout with those of another commit; exit code 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="HEAD", help="the commit to compare with")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), help="these runs (default: all)")
    wanted = parser.parse_args()
    names = wanted.only or list(RUNS)
    before = base_weights(wanted.base, names)
    with tempfile.TemporaryDirectory() as folder:
        print("here:", flush=True)
        now = weights(ROOT, names, make_data(ROOT, Path(folder)))
    different = [name for name in names if now[name] != before[name] or now[name].startswith("failed")]
    print(f"{len(names) - len(different)} of {len(names)} runs ended with the same weights")
    if different:
        sys.exit(f"different or failed: {', '.join(different)}")


if __name__ == "__main__":
    main()

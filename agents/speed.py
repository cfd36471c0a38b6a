"""Speed of our agents beside Stable-Baselines3's at the same work, and the real size of the replay memory.

    python -m agents.speed --env Pong --agents dqn
    python -m agents.speed --env CartPole --agents actor_critic ppo

Both train the same network with the same batch, rollout, train period, environments and threads, without options that
only one of them has. On pixels it is the Nature network, each package's own: `nature` here, `NatureCNN` there. On
vectors it is our `mlp_tanh`, shared by policy and value, in both. Stable-Baselines3 runs twice: plain, as its own
scripts run it (agents/reference/plain.py), and as `agents.sb3` runs it, behind our environments and with our record;
what that costs is the third ratio. The runs are interleaved, because the load of a machine varies, and the result is
the ratio of the medians, with the lowest and the highest ratio of runs side by side. Writes results/speed.csv, where
rows of other work stay, and for DQN on Atari results/replay_memory.csv.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import psutil

from agents.experiments.launcher import RunFailedError, run_child
from agents.reports.format import with_range
from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert, write_csv
from agents.rl.replay import Replay
from agents.training.cli import cli, command
from agents.training.config import Copies
from agents.training.env_runner import VectorEnvRunner
from envs.config import EnvConfig
from envs.names import is_atari, resolve
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Few, OptionalSteps, Ranged, Steps, Threads
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import hardware

TRANSITIONS = 100_000
UPDATE_EVERY_ENV_STEPS = 4
WARM_UP_ENV_STEPS = 500  # after the start of learning, not timed either
A2C_ROLLOUT_STEPS, PPO_ROLLOUT_STEPS = 5, 64
PPO_MINIBATCH_SIZE, PPO_EPOCHS = 256, 4
Agent = Literal["dqn", "actor_critic", "ppo"]


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a speed measurement: agents, work and repetitions."""

    # Environment; with pixels the network takes most of the time, with vectors everything around it.
    env: str = "Pong"
    # Our agents, each beside the same algorithm of Stable-Baselines3.
    agents: tuple[Agent, ...] = ("dqn", "actor_critic", "ppo")
    # Rounds, each of a run of ours and two of Stable-Baselines3; the result is the ratio of the medians.
    pairs: Few = 3
    # Agent steps of each run.
    steps: Steps = 4_000
    # Agent steps before learning starts; they are not timed.
    learning_starts: OptionalSteps = 1_000
    # Environments that step together, a multiple of 4.
    num_envs: Copies = 8
    # Threads of torch.
    threads: Threads = 1
    # Folder of the CSVs.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        if not self.agents:
            raise ConfigError("agents must name at least one of dqn, actor_critic, ppo")
        if self.num_envs % UPDATE_EVERY_ENV_STEPS:
            raise ConfigError(f"num_envs must be a multiple of {UPDATE_EVERY_ENV_STEPS}, not {self.num_envs}")
        longest = max(matchup(self, agent).log_every_env_steps for agent in self.agents)
        if self.steps < (least := self.learning_starts + WARM_UP_ENV_STEPS + 2 * longest):
            raise ConfigError(f"steps must be at least {least:,}, for two measurements once learning has begun")

    @property
    def network(self) -> str:
        """Backbone of both."""
        return "nature" if is_atari(resolve(self.env)) else "mlp_tanh"


@dataclass(frozen=True)
class Matchup:
    """One of our agents and the reference at the same work."""

    ours: list[str]
    theirs: list[str]
    # The work in words.
    work: str
    # Agent steps between two speed measurements: whole rollouts, each with its updates.
    log_every_env_steps: int
    algo: str


def matchup(config: Config, agent: Agent) -> Matchup:
    """Return the flags with which both do the same work; all other settings are the defaults of both."""
    n = config.num_envs
    if agent == "dqn":
        starts = str(config.learning_starts)
        ours = ["--n-step", "1", "--no-double", "--no-dueling", "--batch-size", "32", "--replay.capacity", "10000"]
        ours += ["--learning-starts-env-steps", starts, "--learn-every-env-steps", str(UPDATE_EVERY_ENV_STEPS)]
        theirs = ["--dqn.batch-size", "32", "--dqn.buffer-size", "10000", "--dqn.train-freq", "1"]
        theirs += ["--dqn.gradient-steps", str(n // UPDATE_EVERY_ENV_STEPS), "--dqn.learning-starts", starts]
        work = f"batch 32, update every {UPDATE_EVERY_ENV_STEPS} steps"
        return Matchup(ours, theirs, _work(config, work), 500, "dqn")
    if agent == "actor_critic":
        rollout, steps = str(A2C_ROLLOUT_STEPS), A2C_ROLLOUT_STEPS * n
        ours = ["--rollout-steps", rollout, "--entropy-coefficient", "0", "--shared-backbone"]
        work = f"rollouts of {rollout} steps"
        return Matchup(ours, ["--a2c.n-steps", rollout], _work(config, work), max(500 // steps, 1) * steps, "a2c")
    rollout, batch, epochs = str(PPO_ROLLOUT_STEPS), str(PPO_MINIBATCH_SIZE), str(PPO_EPOCHS)
    ours = ["--rollout-steps", rollout, "--minibatch-size", batch, "--epochs", epochs, "--shared-backbone"]
    theirs = ["--ppo.n-steps", rollout, "--ppo.batch-size", batch, "--ppo.n-epochs", epochs]
    work = f"rollouts of {rollout} steps, {epochs} epochs of minibatches of {batch}"
    return Matchup(ours, theirs, _work(config, work), PPO_ROLLOUT_STEPS * n, "ppo")


def _work(config: Config, work: str) -> str:
    return f"{config.env}: {config.network} network, {work}, {config.num_envs} environments"


def commands(config: Config, agent: Agent, root: Path) -> dict[str, list[str]]:
    """Return the command lines of the same work, by agent: ours, Stable-Baselines3 plain, and behind our adapter.

    Each run is made in a folder of its own in `root`; the plain one leaves a file of that name.
    """
    pair = matchup(config, agent)
    backbone = ["--backbone", config.network]
    shared = ["--preset", "defaults", "--env", config.env]
    shared += ["--num-envs", str(config.num_envs), "--total-env-steps", str(config.steps)]
    shared += ["--threads", str(config.threads), "--device", "cpu", "--no-film", "--wandb.mode", "disabled"]
    shared += ["--log-every-env-steps", str(pair.log_every_env_steps), "--eval.every-env-steps", "0"]
    shared += ["--eval.episodes", "1", "--eval.final-episodes", "1", "--world.max-episode-frames", "400"]
    python, adapter, plain = [sys.executable, "-m"], f"sb3_{pair.algo}", f"plain_sb3_{pair.algo}"
    their_backbone = [] if is_atari(resolve(config.env)) else backbone  # on pixels SB3's own is the same network
    theirs = ["--algo", pair.algo, *pair.theirs, *shared, *their_backbone]
    file, warm_up = str(root / plain), str(config.learning_starts + WARM_UP_ENV_STEPS)
    return {
        agent: [*python, f"agents.{agent}", *shared, *backbone, *pair.ours, "--runs-dir", str(root / agent)],
        plain: [*python, "agents.reference.plain", file, warm_up, *theirs],
        adapter: [*python, "agents.sb3", *theirs, "--runs-dir", str(root / adapter)],
    }


def learning_speed(made: Path, learning_starts: int) -> float:
    """Return the env steps/s after the start of learning: from the file of a plain run, or the record of another."""
    if made.is_file():
        return float(made.read_text(encoding="utf-8"))
    (path,) = made.iterdir()
    marks = [
        (line["global_step"], line["wall_seconds"])
        for line in RunFolder(path).read_metrics()
        if "charts/SPS" in line and line["global_step"] >= learning_starts + WARM_UP_ENV_STEPS
    ]
    (first, began), (last, ended) = marks[0], marks[-1]
    return float((last - first) / (ended - began))


def time_agent(config: Config, agent: Agent) -> list[dict[str, object]]:
    """Return rows of results/speed.csv: each run of an agent and of its reference, then the ratios.

    A ratio has three rows: of the medians, and the lowest and the highest of a round.
    """
    speeds: dict[str, list[float]] = {}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(config.pairs):
            root = Path(folder) / str(pair)
            root.mkdir()
            for name, words in commands(config, agent, root).items():
                if code := run_child(words):
                    raise RunFailedError(f"{name} ended with exit code {code}; see its output above")
                speed = learning_speed(root / name, config.learning_starts)
                speeds.setdefault(name, []).append(speed)
                rows.append({"agent": name, "pair": pair + 1, "env_steps_per_second": round(speed, 1)})
    ours, plain, adapter = speeds
    for a, b in ((ours, plain), (ours, adapter), (adapter, plain)):
        of_rounds = [x / y for x, y in zip(speeds[a], speeds[b], strict=True)]
        ratios = {"medians": float(np.median(speeds[a]) / np.median(speeds[b]))}
        ratios |= {"lowest": min(of_rounds), "highest": max(of_rounds)}
        rows += [
            {"agent": f"{a} / {b}", "pair": what, "env_steps_per_second": round(ratio, 2)}
            for what, ratio in ratios.items()
        ]
        text = with_range(ratios["medians"], ratios["lowest"], ratios["highest"], ".2f")
        print(f"{config.env}: {a} / {b} = {text} (medians of {config.pairs} interleaved runs each)")
    work = {"work": matchup(config, agent).work, "threads": config.threads}
    return [row | work | provenance_of_command("agents.speed") for row in rows]


def measure_replay(config: Config) -> list[dict[str, object]]:
    """Fill a replay memory with real frames; return the row of results/replay_memory.csv."""
    runner = VectorEnvRunner(
        resolve(config.env), config.num_envs, EnvConfig(), Generators(0), threads=int(hardware()["cores"])
    )
    shape = runner.observation_space.shape
    assert shape is not None
    before = psutil.Process().memory_info().rss
    replay = Replay(TRANSITIONS, config.num_envs, (1, *shape[1:]), torch.uint8, shape[0], torch.device("cpu"))
    rng = np.random.default_rng(0)
    with ProgressDisplay("filling the replay memory", TRANSITIONS, "steps") as display:
        for done in range(0, TRANSITIONS, config.num_envs):
            step, _ = runner.step(rng.integers(runner.action_space.n, size=config.num_envs))  # type: ignore[attr-defined]
            flags = (step.terminated, step.truncated, step.value_ends, step.first, step.dummy)
            arrays = (np.ascontiguousarray(step.obs[:, -1:]), step.action, step.reward, *flags)
            replay.push(*(torch.from_numpy(array) for array in arrays))
            display.update(done, "")
    growth = psutil.Process().memory_info().rss - before
    runner.close()
    row = {
        "transitions": TRANSITIONS,
        "arrays_gb": round(replay.size_bytes / 1e9, 3),
        "process_grew_gb": round(growth / 1e9, 3),
        # Observation and next observation of 4 frames each, as SB3's ReplayBuffer allocates by default.
        "sb3_default_layout_gb": round(2 * TRANSITIONS * int(np.prod(shape)) / 1e9, 3),
    }
    print(f"replay memory of {TRANSITIONS:,} transitions: {row['arrays_gb']} GB")
    return [row | provenance_of_command("agents.speed")]


def record(file: Path, rows: list[dict[str, object]]) -> None:
    """Write rows into results/speed.csv, in place of those of the same agents at the same work.

    Raises: ResultsError, SaveError.
    """
    upsert(file, rows, key=("agent", "work"))


@command
def main(argv: list[str] | None = None) -> None:
    """Measure and write the CSVs."""
    config = cli(Config, argv)
    if "dqn" in config.agents and is_atari(resolve(config.env)):
        memory = measure_replay(config)
        write_csv(config.results_dir / "replay_memory.csv", list(memory[0]), memory)
    for agent in config.agents:
        record(config.results_dir / "speed.csv", time_agent(config, agent))


if __name__ == "__main__":
    main()

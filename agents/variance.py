"""What a baseline buys: variance and bias of the policy gradient under each baseline, each discount, each lambda.

    python -m agents.variance --env CartPole

All estimators see the same policy and the same episodes. The policy comes from a run (`--run`), or is trained for a few
updates first. The truth is the undiscounted gradient of the return, from many more episodes of their own. Writes
variance.png, variance.csv and a W&B run into comparisons/variance__<env>__<time>/. Tested against exact gradients.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor, nn

from agents.analysis.gradient_estimators import (
    Episodes,
    Estimator,
    Quality,
    gradients,
    judge,
    moments,
    returns_to_go,
    stack,
)
from agents.rl import ops
from agents.rl.policy_networks import ActorCritic
from agents.rl.weights import load_network
from agents.training.cli import cli, command
from agents.training.config import PolicyConfig
from agents.training.env_runner import VectorEnvRunner
from agents.training.metadata import task_fingerprint
from envs import names
from envs.factory import EnvConfig
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.cli.values import from_dict, to_flat_dict
from rl_gen_lab.compute.devices import setup
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker

DISCOUNTS = (0.9, 0.97, 0.99, 1.0)
COLOURS = ("#56B4E9", "#009E73", "#E69F00", "#000000")  # of the discounts; Okabe & Ito 2008
LAMBDAS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)
BASELINES = ("whole return", "none", "mean", "constant", "leave-one-out", "learned")
ESTIMATORS = [Estimator(kind, gamma) for gamma in DISCOUNTS for kind in BASELINES] + [  # type: ignore[arg-type]
    Estimator("gae", gamma, lambda_) for gamma in DISCOUNTS for lambda_ in LAMBDAS
]
TRUTH = Estimator("learned")  # without bias, for the value was fitted to other episodes; undiscounted


@dataclass(frozen=True)
class Config:
    """Measure variance and bias of policy-gradient estimators at one policy."""

    # Short name ("CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # Run folder of reinforce, actor_critic or ppo whose last policy is measured; none: a policy is trained here.
    run: Path | None = None
    # Updates of the policy trained here (REINFORCE with the leave-one-out baseline, Adam).
    warm_up_updates: int = 30
    # Adam's step size in these.
    learning_rate: float = 3e-3
    # Episodes in a batch, from which an estimate is made.
    episodes: int = 16
    # Batches that each estimator is measured on.
    batches: int = 100
    # Batches that the truth is made from.
    truth_batches: int = 400
    # Batches that the value networks, one for each discount, are fitted to.
    value_batches: int = 40
    # Steps of each value network.
    value_updates: int = 1_000
    # Seed of everything.
    seed: int = 1
    # Where the measurement's own folder is made.
    out: Path = Path("comparisons")

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: PolicyConfig(backbone="mlp_tanh")
    )
    world: EnvConfig = field(default_factory=EnvConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: DeviceConfig(device="cpu"))
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("episodes", "batches", "truth_batches"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, not {getattr(self, name)}")
        for name in ("value_batches", "value_updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.warm_up_updates < 0:
            raise ConfigError(f"warm_up_updates must be at least 0, not {self.warm_up_updates}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate must be more than 0 and finite, not {self.learning_rate}")
        if self.world.episodic_life or self.world.episodic_points:
            raise ConfigError("the variance lab takes whole episodes: no world.episodic_life, no world.episodic_points")
        if self.device.device != "cpu":
            raise ConfigError("the variance lab computes on the CPU only")


class Player:
    """Plays batches of whole episodes with a policy, an episode to each copy."""

    def __init__(self, config: Config, seeds: Generators) -> None:
        self.rollout = VectorEnvRunner(config.env, config.episodes, config.world, seeds)
        self.sampling = seeds.torch("actions")

    @torch.no_grad()
    def play(self, network: ActorCritic) -> Episodes:
        """A batch of whole episodes."""
        self.rollout.restart()
        over = np.zeros(self.rollout.num_envs, dtype=bool)
        rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        first = torch.zeros(1, len(over), dtype=torch.bool)
        while not over.all():
            obs = torch.from_numpy(self.rollout.obs.copy())
            policy, _ = network.act(obs[None], first, None)
            action = policy.sample(self.sampling)[0]
            step, _ = self.rollout.step(network.head.to_env(action))
            alive = torch.from_numpy(~over).float()
            rows.append((obs, action, torch.from_numpy(step.reward) * alive, alive))
            over |= step.terminated | step.truncated
        return Episodes(*(torch.stack(column) for column in zip(*rows, strict=True)))


def policy_of(config: Config, player: Player, display: ProgressDisplay) -> ActorCritic:
    """The policy to be measured. Raises: CheckpointError, ConfigError."""
    shape = player.rollout.observation_space.shape
    assert shape is not None
    if config.run is None:
        network = ActorCritic(shape, player.rollout.action_space, config.policy, "none")
        return warm_up(config, network, player, display)
    run = RunFolder.open(config.run)
    saved = run.read_config()
    if "policy" not in saved["config"] or saved["config"].get("lstm_units"):
        raise CheckpointError(
            f"{run.path} holds no policy without a memory; give a run of reinforce, actor_critic or ppo"
        )
    if saved["env_id"] != names.resolve(config.env):
        raise CheckpointError(f"{run.path} is a run of {saved['env_id']}; add --env {saved['env_id']}")
    network = ActorCritic(
        shape, player.rollout.action_space, from_dict(PolicyConfig, saved["config"]["policy"]), "none"
    )
    weights, _ = load_weights(run.checkpoints / "last.safetensors")
    # The critic is of no use here; a layer that is absent, or made for another size of picture, is named.
    own = network.state_dict()
    load_network(network, {name: tensor for name, tensor in weights.items() if name in own}, str(run.path))
    return network


def warm_up(config: Config, network: ActorCritic, player: Player, display: ProgressDisplay) -> ActorCritic:
    """A few updates of REINFORCE, so that the policy is neither random nor perfect."""
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for update in range(config.warm_up_updates):
        episodes = player.play(network)
        steps = episodes.mask.bool()
        returns = returns_to_go(episodes, 0.99)
        advantage = ops.standardize((returns - ops.leave_one_out(returns))[steps], torch.ones(int(steps.sum())))
        policy, _ = network.act(episodes.obs[steps][None], torch.zeros(1, len(advantage), dtype=torch.bool), None)
        log_prob = policy.log_prob(episodes.action[steps][None])[0]
        optimizer.zero_grad()
        ops.policy_gradient_loss(log_prob, advantage, torch.ones_like(advantage)).backward()
        optimizer.step()
        network.take_statistics(episodes.obs[steps])
        display.update(update + 1, f"training a policy: return {episodes.reward.sum(0).mean():.1f}")
    return network


def fit_values(config: Config, batches: list[Episodes], seeds: Generators) -> dict[float, nn.Module]:
    """For each discount a network from observations (B, ...) to values (B, 1), fitted to returns."""
    obs = torch.cat([b.obs[b.mask.bool()] for b in batches])
    draw = seeds.torch("value_batches")
    networks: dict[float, nn.Module] = {}
    for gamma in DISCOUNTS:
        returns = torch.cat([returns_to_go(b, gamma)[b.mask.bool()] for b in batches])[:, None]
        scale, shift = returns.std() + 1e-6, returns.mean()
        backbone = build(config.policy.backbone, tuple(obs.shape[1:]))
        assert isinstance(backbone.out_features, int)
        network = nn.Sequential(backbone, nn.Linear(backbone.out_features, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for update in range(config.value_updates):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * (1 - update / config.value_updates)
            index = torch.randint(len(obs), (512,), generator=draw)
            loss = (network(obs[index]) - (returns[index] - shift) / scale).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        networks[gamma] = nn.Sequential(network, Affine(float(scale), float(shift)))
    return networks


class Affine(nn.Module):
    """x * scale + shift."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * self.scale + self.shift


def measure(config: Config, display: ProgressDisplay) -> list[Quality]:
    """The quality of each of ESTIMATORS."""
    setup(config.device)
    seeds = Generators(config.seed)
    torch.manual_seed(seeds.integer("init"))
    player = Player(config, seeds)
    network = policy_of(config, player, display)
    seen = [player.play(network) for _ in range(config.value_batches)]
    critics = fit_values(config, seen, seeds)
    constants = {
        gamma: float(np.mean([ops.masked_mean(returns_to_go(b, gamma), b.mask) for b in seen])) for gamma in DISCOUNTS
    }
    done = config.warm_up_updates

    @torch.no_grad()
    def values(episodes: Episodes) -> dict[float, Tensor]:
        flat = episodes.obs.flatten(0, 1)
        return {gamma: critic(flat).view_as(episodes.mask) for gamma, critic in critics.items()}

    def estimates(number: int, estimators: list[Estimator], word: str) -> Iterator[Tensor]:
        nonlocal done
        for _ in range(number):
            episodes = player.play(network)
            yield gradients(network, episodes, stack(estimators, episodes, values(episodes), constants))
            done += 1
            display.update(done, f"{word}: return {episodes.reward.sum(0).mean():.1f}")

    truth = moments(estimates(config.truth_batches, [TRUTH], "the truth"))
    length, doubt = float(truth.mean[0].norm()), float(truth.variance[0] / truth.batches) ** 0.5
    if length == 0.0:
        raise ConfigError(f"the policy gradient of {config.env} is zero here: whatever is done earns the same")
    display.say(f"the true gradient is known to within {doubt / length:.0%} of its length")
    found = moments(estimates(config.batches, ESTIMATORS, "the estimators"))
    player.rollout.close()
    return judge(found, truth)


def draw(qualities: list[Quality], title: str, file: Path) -> None:
    """Variance and bias by baseline and discount, and along lambda, as PNG."""
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    for number, (gamma, colour) in enumerate(zip(DISCOUNTS, COLOURS, strict=True)):
        mine = [(e, q) for e, q in zip(ESTIMATORS, qualities, strict=True) if e.gamma == gamma]
        bars = [q for e, q in mine if e.kind != "gae"]
        traces = [(e.lambda_, q) for e, q in mine if e.kind == "gae"]
        place, lambdas = np.arange(len(bars)) + 0.2 * (number - 1.5), [x for x, _ in traces]
        for row, what in enumerate(("variance", "bias")):
            noise = [q.noise for q in bars], [q.noise for _, q in traces]
            left, right = noise if what == "bias" else (None, None)
            look = {"color": colour, "label": f"discount {gamma:g}"}
            axes[row, 0].bar(place, [getattr(q, what) for q in bars], 0.19, yerr=left, ecolor="#888888", **look)
            heights = [getattr(q, what) for _, q in traces]
            axes[row, 1].errorbar(lambdas, heights, yerr=right, marker="o", elinewidth=0.7, **look)
    for row, what in enumerate(("variance / |gradient|²", "bias / |gradient| (± noise)")):
        axes[row, 0].set_ylabel(what)
        axes[row, 0].set_xticks(np.arange(len(BASELINES)), BASELINES, rotation=20)
        axes[row, 1].set_xlabel("lambda, with the learned value")
    axes[0, 0].set_yscale("log")
    axes[1, 0].set_ylim(bottom=0.0)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(DISCOUNTS), frameon=False)
    for side in axes.flat:
        side.spines[["top", "right"]].set_visible(False)
        side.grid(color="#e6e6e6", linewidth=0.6)
        side.set_axisbelow(True)
    figure.suptitle(title)
    figure.savefig(file, dpi=160)


COLUMNS = ("baseline", "discount", "lambda", *(f.name for f in fields(Quality)))


def table(qualities: list[Quality]) -> list[list[str]]:
    """A row for each estimator, under COLUMNS."""
    rows = []
    for e, q in zip(ESTIMATORS, qualities, strict=True):
        trace = f"{e.lambda_:g}" if e.kind == "gae" else ""
        rows.append([e.kind, f"{e.gamma:g}", trace, *(f"{x:.4g}" for x in astuple(q))])
    return rows


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, draw, write."""
    config = cli(Config, argv)
    env_id = names.resolve(config.env)
    with save_errors(config.out):  # before the measurement, not after it
        config.out.mkdir(parents=True, exist_ok=True)
    with ProgressDisplay(f"variance {names.short_name(env_id)}", _work(config), "batches") as display:
        qualities = measure(config, display)
    folder = config.out / f"variance__{names.short_name(env_id)}__{time.strftime('%Y%m%d-%H%M%S')}"
    with save_errors(folder):
        folder.mkdir(parents=True)
    what = "a policy trained for" if config.run is None else f"the policy of {config.run.name}"
    whose = f"{what} {config.warm_up_updates} updates" if config.run is None else what
    draw(
        qualities, f"{env_id}, {whose}: {config.batches} batches of {config.episodes} episodes", folder / "variance.png"
    )
    rows = table(qualities)
    with (folder / "variance.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    for row in [list(COLUMNS), *rows]:
        print("  ".join(f"{cell:>13}" for cell in row))
    tracker = Tracker.start(
        RunFolder(folder),
        config.wandb,
        algo="variance",
        env_id=env_id,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=task_fingerprint(config.env, config.world, 0.0).hash,
        job_type="variance",
    )
    with tracker:
        tracker.image("variance/plot", folder / "variance.png", 0)
        tracker.table("variance/table", COLUMNS, rows)
    print(f"variance: {folder / 'variance.png'}")


def _work(config: Config) -> int:
    return config.warm_up_updates + config.truth_batches + config.batches


if __name__ == "__main__":
    main()

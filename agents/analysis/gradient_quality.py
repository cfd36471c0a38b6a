"""Measuring estimators of the policy gradient at one policy: variance, bias and direction of each.

All estimators see the same policy and the same episodes. The reference is the undiscounted gradient of the return, from
many more episodes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from agents.analysis.config import MeasurementConfig
from agents.analysis.gradient_estimators import (
    Episodes,
    Estimator,
    Quality,
    estimator_moments,
    estimator_quality,
    gradients,
    returns_to_go,
    stack,
)
from agents.rl import ops
from agents.rl.baselines import leave_one_out
from agents.rl.policy_networks import ActorCritic
from agents.training.config import PolicyConfig
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from agents.training.load import refuse_foreign
from envs import names
from envs.registration import UnusableEnvError
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.compute.devices import setup
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import load_network

DISCOUNTS = (0.9, 0.97, 0.99, 1.0)
LAMBDAS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)
BASELINES = ("whole return", "none", "mean", "constant", "leave-one-out", "learned")
ESTIMATORS = [Estimator(kind, gamma) for gamma in DISCOUNTS for kind in BASELINES] + [  # type: ignore[arg-type]
    Estimator("gae", gamma, lambda_) for gamma in DISCOUNTS for lambda_ in LAMBDAS
]
REFERENCE = Estimator("learned")  # without bias, for the value was fitted to other episodes; undiscounted


class EpisodeSampler:
    """Samples batches of whole episodes from a policy, one episode in each environment."""

    def __init__(self, config: MeasurementConfig, seeds: Generators) -> None:
        try:
            self.env_runner = VectorEnvRunner(names.resolve(config.env), config.episodes, config.world, seeds)
        except (UnusableEnvError, EnvStepError) as error:  # here the number of copies is that of the episodes
            raise ConfigError(str(error).replace("--num-envs", "--episodes")) from error
        self.sampling = seeds.torch("actions")

    @torch.no_grad()
    def sample(self, network: ActorCritic) -> Episodes:
        """Return a batch of whole episodes."""
        self.env_runner.restart()
        done = np.zeros(self.env_runner.num_envs, dtype=bool)
        rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        first = torch.zeros(len(done), dtype=torch.bool)
        while not done.all():
            obs = torch.from_numpy(self.env_runner.obs.copy())
            policy, _ = network.act(obs, first, None)
            action = policy.sample(self.sampling)
            step, _ = self.env_runner.step(network.head.to_env(action))
            alive = torch.from_numpy(~done).float()
            rows.append((obs, action, torch.from_numpy(step.reward) * alive, alive))
            done |= step.terminated | step.truncated
        return Episodes(*(torch.stack(column) for column in zip(*rows, strict=True)))


def measured_policy(config: MeasurementConfig, sampler: EpisodeSampler, display: ProgressDisplay) -> ActorCritic:
    """Return the policy to be measured. Raises: CheckpointError, ConfigError."""
    shape = sampler.env_runner.observation_space.shape
    assert shape is not None
    if config.run is None:
        network = ActorCritic(shape, sampler.env_runner.action_space, config.policy, "none")
        return warm_up(config, network, sampler, display)
    run = RunFolder.open(config.run)
    saved = run.read_config("config", "env_id")
    if "policy" not in saved["config"] or saved["config"].get("lstm_units"):
        why = "whose policy has an LSTM" if "policy" in saved["config"] else "which has no policy network"
        others = "reinforce, actor_critic or ppo without an LSTM"
        raise CheckpointError(f"{run} is a run of {saved.get('exp_name')}, {why}: give one of {others}")
    if saved["env_id"] != names.resolve(config.env):
        raise CheckpointError(f"{run} is a run of {saved['env_id']}; add --env {saved['env_id']}")
    policy = from_saved(PolicyConfig, saved["config"]["policy"], str(run.config_file), "policy")
    network = ActorCritic(shape, sampler.env_runner.action_space, policy, "none")
    weights, about = load_weights(run.checkpoints / "last.safetensors")
    refuse_foreign(run, run.checkpoints / "last.safetensors", about)
    # The critic is not used; a layer that is absent, or made for another image size, is named.
    own = network.state_dict()
    load_network(network, {name: tensor for name, tensor in weights.items() if name in own}, str(run))
    return network


def warm_up(
    config: MeasurementConfig, network: ActorCritic, sampler: EpisodeSampler, display: ProgressDisplay
) -> ActorCritic:
    """Make a few updates of REINFORCE, so that the policy is neither random nor perfect."""
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for update in range(config.warm_up_updates):
        episodes = sampler.sample(network)
        steps = episodes.mask.bool()
        returns = returns_to_go(episodes, 0.99)
        advantage = ops.standardize((returns - leave_one_out(returns))[steps], torch.ones(int(steps.sum())))
        policy, _ = network.act(episodes.obs[steps], torch.zeros(len(advantage), dtype=torch.bool), None)
        log_prob = policy.log_prob(episodes.action[steps])
        optimizer.zero_grad()
        ops.policy_gradient_loss(log_prob, advantage, torch.ones_like(advantage)).backward()
        optimizer.step()
        network.take_statistics(episodes.obs[steps])
        display.update(update + 1, f"training a policy: return {episodes.reward.sum(0).mean():.1f}")
    return network


def fit_values(config: MeasurementConfig, batches: list[Episodes], seeds: Generators) -> dict[float, nn.Module]:
    """Fit, for each discount, a network from observations (B, ...) to values (B, 1) to the returns."""
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


def measure(config: MeasurementConfig, display: ProgressDisplay) -> list[Quality]:
    """Measure the quality of each of ESTIMATORS."""
    setup(config.device)
    seeds = Generators(config.seed)
    torch.manual_seed(seeds.integer("init"))
    sampler = EpisodeSampler(config, seeds)
    network = measured_policy(config, sampler, display)
    value_episodes = [sampler.sample(network) for _ in range(config.value_batches)]
    critics = fit_values(config, value_episodes, seeds)
    constants = {
        gamma: float(np.mean([ops.masked_mean(returns_to_go(b, gamma), b.mask) for b in value_episodes]))
        for gamma in DISCOUNTS
    }
    batches_done = config.warm_up_updates

    @torch.no_grad()
    def values(episodes: Episodes) -> dict[float, Tensor]:
        flat = episodes.obs.flatten(0, 1)
        return {gamma: critic(flat).view_as(episodes.mask) for gamma, critic in critics.items()}

    def estimates(number: int, estimators: list[Estimator], word: str) -> Iterator[Tensor]:
        nonlocal batches_done
        for _ in range(number):
            episodes = sampler.sample(network)
            yield gradients(network, episodes, stack(estimators, episodes, values(episodes), constants))
            batches_done += 1
            display.update(batches_done, f"{word}: return {episodes.reward.sum(0).mean():.1f}")

    reference = estimator_moments(estimates(config.truth_batches, [REFERENCE], "the true gradient"))
    length, doubt = float(reference.mean[0].norm()), float(reference.variance[0] / reference.batches) ** 0.5
    if length == 0.0:
        raise ConfigError(f"the policy gradient of {config.env} is zero here: all actions earn the same")
    display.say(f"the true gradient is known to within {doubt / length:.0%} of its length")
    measured = estimator_moments(estimates(config.batches, ESTIMATORS, "the estimators"))
    sampler.env_runner.close()
    return estimator_quality(measured, reference)

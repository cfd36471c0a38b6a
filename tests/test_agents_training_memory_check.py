"""Settings of an agent that need more memory than there is are refused before anything is allocated, with what fits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gymnasium import spaces
from small_envs import registered

from agents import dqn, ppo, reinforce, sb3
from agents.rl.replay import ReplayConfig
from agents.training.memory_check import check_memory, refuse_too_many
from agents.training.metadata import RunSpec
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError

CPU = torch.device("cpu")


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=size))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (ppo.Config(env="CartPole", rollout_steps=1_000_000, num_envs=100), "rollout_steps 1,000,000 takes 1.6 GB"),
        (ppo.Config(env="CartPole", num_envs=4_096), "num_envs 4,096 takes 0.0 GB"),
        (
            dqn.Config(env="CartPole", batch_size=10**6, replay=ReplayConfig(10**6)),
            "batch_size 1,000,000 takes 0.1 GB",
        ),
        (reinforce.Config(env="CartPole", value_batch_size=1_000_000), "value_batch_size 1,000,000 takes 0.0 GB"),
        (dqn.Config(env="CartPole", replay=ReplayConfig(10**9)), "replay.capacity 1,000,000,000 takes 48.0 GB"),
        (
            sb3.Config(env="CartPole", algo="ppo", ppo=sb3.Config().ppo.__class__(n_steps=1_000_000)),
            "ppo.n_steps 1,000,000 takes 0.0 GB",
        ),
    ],
)
def test_the_setting_and_the_number_that_fits_are_named(
    monkeypatch: pytest.MonkeyPatch, config: Any, named: str
) -> None:
    spec = RunSpec.resolve("agent", config)
    free(monkeypatch, 5_000_000)
    with pytest.raises(ConfigError, match=r"cpu has 0\.0 GB free: use --[\w.-]+ \d+ or less$") as refused:
        check_memory(spec, CPU)
    assert str(refused.value).startswith(named)
    free(monkeypatch, 10**12)
    check_memory(spec, CPU)


def test_the_number_that_fits_does_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 100_000_000)
    with pytest.raises(ConfigError) as refused:
        check_memory(RunSpec.resolve("ppo", ppo.Config(env="CartPole", rollout_steps=1_000_000)), CPU)
    fits = int(str(refused.value).split()[-3])
    assert 100_000 < fits < 1_000_000  # 8 environments of 16 bytes
    check_memory(RunSpec.resolve("ppo", ppo.Config(env="CartPole", rollout_steps=fits)), CPU)


def test_images_and_stacks_are_counted_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = EnvConfig(image_size=512, frame_stack=64)
    free(monkeypatch, 10**9)
    with pytest.raises(ConfigError, match=r"^num_envs 64 takes 2\.2 GB of memory"):
        check_memory(RunSpec.resolve("ppo", ppo.Config(env="Pong", num_envs=64, world=world)), CPU)
    monkeypatch.setattr("agents.training.env_runner.VectorEnvRunner.__init__", lambda *_: pytest.fail("allocated"))
    flags = ["--env", "Pong", "--rollout-steps", "1000000", "--runs-dir", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as stopped:
        ppo.main([*flags, "--wandb.mode", "disabled"])
    assert stopped.value.code == 2 and "use --rollout-steps" in capsys.readouterr().err
    assert not list((tmp_path / "runs").iterdir())


AGENTS = {
    "ppo": ppo.Config,
    "reinforce": reinforce.Config,
    "dqn": dqn.Config,
    "sb3_ppo": lambda env: sb3.Config(env=env, algo="ppo"),
    "sb3_dqn": lambda env: sb3.Config(env=env, net_arch=(64, 32)),
}
WIDE, NARROW = spaces.Box(-1, 1, (40_000_000,)), spaces.Box(-1, 1, (3,))


@pytest.mark.parametrize("algo", AGENTS)
@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (WIDE, spaces.Discrete(2), r"observations of shape \(40000000,\) has [\d,]+ weights.*smaller observations"),
        (NARROW, spaces.Discrete(10**12), r"for 1,000,000,000,000 actions has [\d,]+ weights.*fewer actions"),
        (NARROW, spaces.MultiDiscrete([10**9, 3]), r"for 1,000,000,003 actions has"),
        (NARROW, spaces.MultiBinary(10**8), r"for 100,000,000 actions has"),
        (NARROW, spaces.Box(-1, 1, (2, 10**8)), r"for 200,000,000 actions has"),
    ],
)
def test_observations_and_actions_too_large_for_any_network_are_named(
    monkeypatch: pytest.MonkeyPatch, algo: str, observations: Any, actions: Any, message: str
) -> None:
    free(monkeypatch, 10**15)
    described = {"observation": f"{observations.shape} {observations.dtype}", "actions": str(actions)}
    with registered(space=NARROW) as env:
        spec = RunSpec.resolve(algo, AGENTS[algo](env=env))
    spec.task.fields.update(described)
    with pytest.raises(ConfigError, match=message):
        check_memory(spec, CPU)


def test_the_network_and_what_its_learning_needs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = RunSpec.resolve("ppo", ppo.Config(env="CartPole"))
    network = ppo.make_network(ppo.Config(env="CartPole"), spaces.Box(-1, 1, (4,)), spaces.Discrete(2))
    learning = 4 * 4 * sum(weight.numel() for weight in network.parameters())
    free(monkeypatch, int(learning / 0.9 * 1.01))
    check_memory(spec, CPU)
    free(monkeypatch, int(learning / 0.9 * 0.9))
    with pytest.raises(ConfigError, match=r"a network for observations of shape .* needs while it learns"):
        check_memory(spec, CPU)


def test_where_not_even_one_fits_the_observations_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 10**9)
    with pytest.raises(ConfigError, match=r"batch_size 32 takes .* use an environment of smaller observations$"):
        refuse_too_many("batch_size", 32, 2 * 10**9, CPU)


def test_a_packed_replay_memory_is_counted_by_what_packed_frames_take(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 2_000_000_000)
    plain, packed = (dqn.Config(env="Pong", replay=ReplayConfig(10**6, packed=packed)) for packed in (False, True))
    with pytest.raises(ConfigError, match=r"replay\.capacity 1,000,000 takes 7\.1 GB"):
        check_memory(RunSpec.resolve("dqn", plain), CPU)
    check_memory(RunSpec.resolve("dqn", packed), CPU)

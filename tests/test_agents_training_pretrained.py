"""A trained backbone starts other agents: frozen, partly frozen or fine-tuned, on the record, exact on resume."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agents.rl.q_networks import QNetwork
from agents.training import session
from agents.training.config import TransferConfig
from agents.training.load import load_policy
from agents.training.pretrained import freeze, load_backbone, read_backbone
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression import layers, packed_file
from rl_gen_lab.runs.folder import RunFolder

SHORT = [
    "--preset", "defaults", "--total-env-steps", "600", "--checkpoint-every-env-steps", "300",
    "--eval.every-env-steps", "0", "--eval.episodes", "1", "--eval.final-episodes", "1", "--num-envs", "2",
    "--log-every-env-steps", "100", "--no-film", "--wandb.mode", "disabled", "--device", "cpu", "--env", "CartPole",
]  # fmt: skip
AGENTS = {
    "dqn": ["--learning-starts-env-steps", "100", "--replay.capacity", "2000", "--backbone", "mlp_small"],
    "reinforce": ["--backbone", "mlp_small"],
    "actor_critic": ["--backbone", "mlp_small", "--no-shared-backbone"],
    "ppo": ["--backbone", "mlp_small", "--rollout-steps", "64", "--minibatch-size", "64"],
}
PONG = [
    "--env", "Pong", "--world.image-size", "36", "--world.max-episode-frames", "60", "--total-env-steps", "60",
    "--checkpoint-every-env-steps", "500",
]  # fmt: skip


def run(agent: str, root: Path, *flags: str) -> RunFolder:
    before = set(root.glob("*"))
    importlib.import_module(f"agents.{agent}").main(
        [*SHORT, *AGENTS[agent], "--runs-dir", str(root), *(str(flag) for flag in flags)]
    )
    (path,) = set(root.glob("*")) - before
    return RunFolder.open(path)


def weights(run: RunFolder, name: str = "last") -> dict[str, Tensor]:
    return load_file(run.checkpoints / f"{name}.safetensors")


def backbone(tensors: dict[str, Tensor], name: str = "backbone.") -> dict[str, Tensor]:
    return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    assert a.keys() == b.keys() and a
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A DQN to take the backbone of."""
    return run("dqn", tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_keeps_a_frozen_backbone_of_another_run_and_learns_its_heads(
    tmp_path: Path, trained: RunFolder, agent: str
) -> None:
    taken = backbone(weights(trained, "best"))
    made = run(agent, tmp_path, "--init-backbone", str(trained.path), "--init-frozen", "all")
    last, best = weights(made), weights(made, "best")
    assert same(backbone(last), taken)
    if "value_backbone.layers.0.weight" in last:
        assert same(backbone(last, "value_backbone."), taken)
    heads = [key for key in last if "backbone" not in key and key.endswith("weight")]
    fresh = run(agent, tmp_path, "--seed", "1", "--total-env-steps", "1", "--num-envs", "2")
    assert heads and not all(torch.equal(last[key], weights(fresh)[key]) for key in heads)
    assert best.keys() == last.keys()


def test_the_record_says_where_the_backbone_came_from(tmp_path: Path, trained: RunFolder) -> None:
    made = run("ppo", tmp_path, "--init-backbone", str(trained.path))
    origin = made.read_config()["init_backbone"]
    assert origin["file"] == str(trained.checkpoints / "best.safetensors")
    assert (origin["algo"], origin["env_id"]) == ("dqn", "CartPole-v1")
    assert len(origin["sha256"]) == 64 and int(origin["global_step"]) > 0
    assert "init_backbone" not in trained.read_config()


def test_fine_tuning_moves_the_backbone_and_a_small_factor_moves_it_less(tmp_path: Path, trained: RunFolder) -> None:
    taken = backbone(weights(trained, "best"))

    def distance(factor: str) -> float:
        made = run("ppo", tmp_path, "--init-backbone", str(trained.path), "--init-learning-rate-factor", factor)
        return max(float((x - taken[key]).abs().max()) for key, x in backbone(weights(made)).items())

    small, large = distance("0.01"), distance("1")
    assert 0 < small < 0.1 * large


# Adam with two groups and a target network, two optimizers, RMSProp; PPO's optimizer is made as DQN's.
@pytest.mark.slow
@pytest.mark.parametrize("agent", ["dqn", "reinforce", "actor_critic"])
def test_an_interrupted_run_resumes_exactly_without_the_file_it_began_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: RunFolder, agent: str
) -> None:
    file = tmp_path / "taken.safetensors"
    save_file({f"backbone.{key}": x for key, x in backbone(weights(trained, "best")).items()}, file)
    flags = ["--init-backbone", str(file), "--init-learning-rate-factor", "0.3", "--learning-rate-end", "0"]
    whole = run(agent, tmp_path / "whole", *flags)
    original = session.RecordedRun.running

    def running(self: session.RecordedRun) -> bool:
        self.interrupt.asked = self.interrupt.asked or self.log.env_steps >= 401
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(session.RecordedRun, "running", running)
        with pytest.raises(SystemExit):
            run(agent, tmp_path / "stopped", *flags)
    (path,) = (tmp_path / "stopped").iterdir()
    file.unlink()
    importlib.import_module(f"agents.{agent}").main(["--resume", str(path)])
    stopped = RunFolder.open(path)
    assert same(weights(whole), weights(stopped))
    assert whole.read_result()["final_eval"] == stopped.read_result()["final_eval"]
    assert stopped.read_config()["init_backbone"]["file"] == str(file)
    assert load_policy(stopped, "last").act(np.zeros((1, 4), np.float32)).shape == (1,)


@pytest.mark.slow
def test_frozen_convolutions_stay_and_the_layer_behind_them_learns(tmp_path: Path) -> None:
    small = ["--backbone", "small"]
    source = run("actor_critic", tmp_path, *PONG, *small)
    taken = backbone(weights(source, "best"))
    flags = ["--init-backbone", str(source.path), "--init-frozen", "conv", "--learning-starts-env-steps", "20"]
    made = backbone(weights(run("dqn", tmp_path, *PONG, *small, *flags)))
    moved = {key for key in taken if not torch.equal(taken[key], made[key])}
    assert moved == {"fc.weight", "fc.bias"}


def test_layers_that_do_not_fit_are_named(
    tmp_path: Path, trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run("ppo", tmp_path, "--backbone", "mlp_tanh", "--init-backbone", str(trained.path))
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "layers.0.weight" in said and "layers.2.bias" in said and "best.safetensors" in said
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_a_run_that_was_stopped_before_its_first_evaluation_is_refused(tmp_path: Path, trained: RunFolder) -> None:
    stopped = RunFolder(shutil.copytree(trained.path, tmp_path / "stopped"))
    (stopped.checkpoints / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no best.safetensors yet, .*: resume it, or choose another run"):
        read_backbone(stopped.path)


def test_a_file_of_a_backbone_alone_is_taken_and_a_missing_one_refused(
    tmp_path: Path, trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "encoder.safetensors"
    taken = backbone(weights(trained, "best"))
    save_file(taken, file)
    made = run("actor_critic", tmp_path / "runs", "--init-backbone", str(file), "--init-frozen", "all")
    assert same(backbone(weights(made)), taken)
    with pytest.raises(SystemExit):
        run("ppo", tmp_path, "--init-backbone", str(tmp_path / "nothing.safetensors"))
    assert "nothing.safetensors" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", [(), ("--ensemble-size", 2)])
def test_networks_that_learn_side_by_side_begin_from_one_backbone_and_give_one(
    ensemble: tuple[Any, ...], tmp_path: Path, trained: RunFolder
) -> None:
    flags = ("--learners", 2, *ensemble, "--init-backbone", trained.path, "--init-frozen", "all")
    made, given = run("dqn", tmp_path, *flags), backbone(weights(trained, "best"))
    prefix = "newest." if ensemble else ""
    for network in range(2):
        assert same(backbone(weights(made), f"{prefix}networks.{network}.backbone."), given)
    assert same(read_backbone(made.path)[0], given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init_frozen": "all"}, "belong to --init-backbone"),
        ({"init_learning_rate_factor": 0.1}, "belong to --init-backbone"),
        ({"init_backbone": Path("runs/RUN"), "init_learning_rate_factor": 0.0}, "must be above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransferConfig(**settings)


def test_convolutions_can_only_be_frozen_where_there_are_some() -> None:
    with pytest.raises(ConfigError, match="MLP has none"):
        freeze(TransferConfig(Path("runs/RUN"), "conv"), QNetwork("mlp", (4,), 2, dueling=False))


def test_a_packed_policy_is_a_backbone_too(tmp_path: Path) -> None:
    description, file = "2x8s4-2x4s2-4", tmp_path / "policy.rlz"
    packed, fresh = (QNetwork(description, (4, 84, 84), 6, False) for _ in range(2))
    header = {"network": {"backbone": description, "shape": [4, 84, 84], "actions": 6}}
    file.write_bytes(packed_file.write(header, layers.coded_state(packed), named=False))
    origin = load_backbone(file, fresh)
    assert torch.equal(fresh.backbone.fc.weight, packed.backbone.fc.weight)  # type: ignore[union-attr]
    assert not torch.equal(fresh.advantage.weight, packed.advantage.weight) and origin["file"] == str(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"policy.rlz: .*checksum"):
        load_backbone(file, fresh)

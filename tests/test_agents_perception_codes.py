"""Codes as an observation: outside they are what dreams show, stacks repeat the first frame, and refusals."""

from __future__ import annotations

import latent_runs
import numpy as np
import pytest
import torch

from agents.perception.codes import CodeObservation
from agents.training import environments
from envs.config import EnvConfig
from envs.ground_truth.emulator import rgb_image
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.training.load import load_dream


def dream() -> str:
    return f"dream:{latent_runs.dream_run('vq-vae').path}"


def test_what_a_policy_sees_outside_is_what_it_sees_in_dreams() -> None:
    saved = load_dream(latent_runs.dream_run("vq-vae").path)
    env = environments.make_env("Pong", EnvConfig(observe=dream(), sticky=0.0))
    obs, _ = env.reset(seed=0)
    images, actions, seen = [rgb_image(env)], [2, 3, 3, 0], [obs]
    for action in actions:
        seen.append(env.step(action)[0])
        images.append(rgb_image(env))
    palette = saved.model.world_palette  # type: ignore[attr-defined]
    frames = palette.index(torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())).to(torch.uint8)
    executed = torch.tensor(actions)[:, None].expand(-1, saved.world.frame_skip)
    for steps in range(5):
        with torch.no_grad():
            state = saved.model.begin(frames[None, : steps + 1], executed[None, :steps])
            assert np.allclose(saved.model.seen(state)[0].numpy(), seen[steps], atol=1e-5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", ["vae", "vq-vae"])
def test_codes_of_the_last_frames_are_stacked(model: str) -> None:
    config = EnvConfig(observe=f"vae:{latent_runs.generator_run(model).path}", frame_stack=2)
    env = environments.make_env("Pong", config)
    first, _ = env.reset(seed=0)
    half = len(first) // 2
    assert np.array_equal(first[:half], first[half:]) and env.observation_space.contains(first)
    then = env.step(2)[0]
    assert np.array_equal(then[:half], first[half:])
    task = environments.task_fingerprint("ALE/Pong-v5", config, 0.0)
    assert "seen as vae " in task.text and "x 2" in task.text and "codes of frames" in task.reading


def test_images_of_another_size_are_refused() -> None:
    env = environments.make_env("ALE/SpaceInvaders-v5", EnvConfig(observe=dream()))
    wrapper: object = env
    while not isinstance(wrapper, CodeObservation):
        wrapper = wrapper.env  # type: ignore[attr-defined]
    wrapper.encoder.size = (1, 2)
    with pytest.raises(ConfigError, match="trained on images of 2 x 1"):
        env.reset(seed=0)


def test_dreams_of_pixels_are_no_observation() -> None:
    with pytest.raises(CheckpointError, match="dreams pixels"):
        environments.observation_wrapper(EnvConfig(observe=f"dream:{latent_runs.dream_run('pixels').path}"))

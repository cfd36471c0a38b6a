"""`dream:RUN` as the name of an environment."""

from __future__ import annotations

import latent_runs
import pytest

from agents.training.schemes import register_schemes
from envs import names
from envs.config import UnknownEnvError

register_schemes()


def test_a_dream_has_an_id_of_its_own() -> None:
    env_id = names.resolve(f"dream:{latent_runs.dream_run('pixels').path}")
    assert (
        env_id.startswith("dreams/Pong_") and names.resolve(f"dream:{latent_runs.dream_run('pixels').path}") == env_id
    )
    assert not names.is_atari(env_id) and names.short_name(env_id).startswith("Pong_")


def test_a_folder_that_is_no_dream_is_refused_in_one_line() -> None:
    with pytest.raises(UnknownEnvError, match=r"env 'dream:nowhere': no run folder at nowhere"):
        names.resolve("dream:nowhere")
    with pytest.raises(UnknownEnvError, match=r"is a run of generate, not of dream"):
        names.resolve(f"dream:{latent_runs.generator_run('vae').path}")

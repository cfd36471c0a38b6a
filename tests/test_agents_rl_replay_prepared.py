"""Minibatches that a second thread prepares: in order, each once, and a failure reaches whoever takes it."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
import torch

from agents.rl.replay import PreparedBatches


def test_each_minibatch_is_prepared_once_and_in_order() -> None:
    numbers, threads = itertools.count(), []

    def prepare() -> Any:
        threads.append(threading.current_thread())
        return next(numbers), torch.get_num_threads()

    batches: PreparedBatches = PreparedBatches(prepare, threads=1)
    assert batches.take()[0] == 0  # nothing was begun
    batches.begin()
    batches.begin()  # it is under way
    assert batches.take() == (1, 1)
    assert batches.take()[0] == 2
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [True, False, True]


def test_a_failure_in_the_second_thread_is_raised_where_the_minibatch_is_taken() -> None:
    def prepare() -> Any:
        raise RuntimeError("out of memory")

    batches = PreparedBatches(prepare, threads=1)
    batches.begin()
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.take()

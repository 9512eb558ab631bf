"""Ctrl-C between any two bytecodes of `submit` and `resubmit`: all work is sent or none, nothing waits for ever."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

import qmode_widgets as qmode
from qmode_widgets.portal import portal

OURS = str(Path(qmode.__file__).parent)
MOMENTS = int(os.environ.get("MOMENTS", 40))  # more in `make soak`


class Interrupter:
    """Raises SIGINT in the main thread before the n-th bytecode of our own code; counts them when n is 0."""

    def __init__(self, n: int = 0) -> None:
        self.n, self.count = n, 0

    def _enter(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame, event, arg):
        if event in ("opcode", "line"):  # Python 3.13 tells of each bytecode only now and then
            self.count += 1
            if self.count == self.n:
                signal.raise_signal(signal.SIGINT)
        return self._step

    def __call__(self, call):
        """Whether the call was interrupted."""
        sys.settrace(self._enter)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False


@pytest.fixture
def batch(backend):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


def sound(batch):
    """The loop answers at once, and waiting for all that is in the ledger comes to an end."""
    assert portal().call(lambda: "here", timeout=10) == "here"
    assert batch.wait(60)


def moments(total):
    return sorted(random.Random(7).sample(range(1, total), min(MOMENTS, total - 1)))


def test_an_interrupted_submission_is_whole_or_not_there(batch, sampler, rotations):
    primitive, pubs = sampler(batch.primitive_mode, shots=10), rotations(2)
    count = Interrupter()
    assert not count(lambda: batch.submit(primitive, pubs, partitions=2))
    hit = 0
    for n in moments(count.count):
        before = len(batch.runs)
        hit += Interrupter(n)(lambda: batch.submit(primitive, pubs, partitions=2))
        sound(batch)
        for run in batch.runs[before:]:
            assert [j.state for j in run.jobs] == ["done", "done"]
    assert hit > MOMENTS / 2


def test_an_interrupted_resubmission_is_whole_or_not_there(batch, sampler, rotations, emulator):
    primitive, pubs = sampler(batch.primitive_mode, shots=10), rotations(2)

    def failed():
        emulator.faults.fail_jobs(2)
        run = batch.submit(primitive, pubs, partitions=2)
        assert run.wait(60)
        assert [j.state for j in run.jobs] == ["failed", "failed"]
        return run

    failed()
    count = Interrupter()
    assert not count(batch.resubmit_failed)
    sound(batch)
    for n in moments(count.count)[:: MOMENTS // 10]:
        run = failed()
        Interrupter(n)(batch.resubmit_failed)
        sound(batch)
        states = [j.state for j in run.jobs]
        assert states in (["done", "done"], ["failed", "failed"])
        if states[0] == "failed":
            batch.resubmit_failed()
            sound(batch)

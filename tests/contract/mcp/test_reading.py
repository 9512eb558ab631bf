"""Circuits that never end are refused at their bounds, each by its number; what follows is read."""

from __future__ import annotations

import fcntl
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from qmode_widgets import PubError
from qmode_widgets.mcp.circuit_input import CircuitInput
from qmode_widgets.mcp.reading import Bounds, Reading

from .conftest import BELL

HEAD = 'OPENQASM 3.0; include "stdgates.inc"; '
LEVELS = "".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }} " for i in range(1, 30))
GATES = HEAD + "gate g0 a { x a; } " + LEVELS + "qubit[1] q; bit[1] c; g29 q[0]; c[0] = measure q[0];"
QUBITS = "OPENQASM 3.0; qubit[1000000000] q; bit[1] c; c[0] = measure q[0];"
NEST = HEAD + "qubit[1] q; bit[1] c; rx(" + "(" * 3000 + "1" + ")" * 3000 + ") q[0]; c[0] = measure q[0];"
WIDE = "OPENQASM 3.0; qubit[1000] q; bit[1] c; c[0] = measure q[0];"


@pytest.fixture(scope="module")
def read(shared_emulator):
    backend = shared_emulator.service.backend("emu_fez")
    reading = Reading()

    def read(*texts, **bounds):
        circuits = [CircuitInput(qasm=text) for text in texts]
        return reading.pubs(circuits, backend, "sampler", transpile=True, bounds=Bounds(**bounds))

    yield read
    reading.close()


@pytest.mark.parametrize(
    ("text", "bounds", "said"),
    [
        (GATES, {"cpu_seconds": 2}, r"PUB 1: reading it takes more than 2 s of CPU time or 2 GiB"),
        (GATES, {"wall_seconds": 2.0}, r"PUB \d: reading it takes more than 30 s of CPU time"),
        (QUBITS, {"memory": 2**28}, r"PUB 1: reading it takes more than 30 s of CPU time or 0\.25 GiB of memory"),
        (NEST, {}, r"PUB 1: its expressions are nested too deeply"),
        (WIDE, {}, r"PUB 1: it has 1,000 qubits, and emu_fez has 156"),
    ],
    ids=["gates", "clock", "qubits", "nest", "wide"],
)
def test_a_circuit_that_never_ends_is_refused_and_the_next_one_is_read(read, text, bounds, said):
    assert len(read(BELL)) == 1  # a process is there
    with pytest.raises(PubError, match=said):
        read(BELL, text, **bounds)
    assert read(BELL)[0][0].num_clbits == 2


def reads(process):
    try:
        return "qmode_widgets.mcp.reading" in process.cmdline()
    except psutil.ZombieProcess:  # one that another test ended
        return False


def processes():
    return [process for process in psutil.Process().children() if reads(process)]


def has_been_asked(process):
    """Something waits on its standard input; it was suspended before."""
    with Path(f"/proc/{process.pid}/fd/0").open("rb", buffering=0) as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) > 0


@pytest.fixture
def stuck(read):
    """A process that has been given a circuit and does not go on; and the call that waits for it."""
    read(BELL)
    (process,) = processes()
    process.suspend()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(read, BELL, BELL)
        while not has_been_asked(process):
            assert not call.done()
        yield process, call
        if process.is_running():
            process.resume()


def test_a_process_that_the_system_ended_is_no_verdict_on_the_circuit(stuck):
    process, call = stuck
    process.kill()
    assert len(call.result()) == 2


def test_a_slow_circuit_holds_up_no_other_call(stuck, read):
    process, call = stuck
    assert len(read(BELL)) == 1
    assert not call.done()
    process.resume()
    assert len(call.result()) == 2

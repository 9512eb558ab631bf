"""The threads that call tools come and go, and Qiskit's extension module survives it."""

from __future__ import annotations

import subprocess
import sys

from .conftest import ROOT

# Each call on a thread of its own that has ended before the next one begins, as after ten idle seconds; on Linux most
# of them have the id of the first.
CALLS = """
import threading
from qmode_widgets.mcp.arguments import Options
from qmode_widgets.mcp.connection import Connection
from qmode_widgets.mcp.server import Server

server = Server(Connection())
answers = []

def call():
    from_server = server._told("options", Options(primitive="sampler"))
    from qiskit import QuantumCircuit  # not before: the server's own call has to load it

    circuit = QuantumCircuit(50)
    circuit.h(range(50))
    answers.append((from_server["primitive"], len(circuit.data)))

for _ in range(5):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
print(answers == [("sampler", 50)] * 5)
"""


def test_a_call_after_the_thread_of_the_first_one_has_ended_is_answered():
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CALLS], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "True"

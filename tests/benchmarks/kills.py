"""Part of `make soak`: `kill -9` at random moments of opening, submitting with a key, waiting and closing.

Each process that is killed is followed by a fresh one, which submits the same work with the same key, as a user does
who runs the cell again. Then the service itself is asked what ran: every partition once, and the merged result right.
Prints a table; the exit code says whether all of it is zero.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.model import tags
from qmode_widgets.portal import clock, portal

KILLS = int(os.environ.get("KILLS", 40))
SPEED = float(os.environ.get("SPEED", 10.0))  # pauses of ours take a tenth: a look-up of 90 s takes 9 s
SEED, PARTITIONS, SHOTS = 7, 8, 16
PATIENCE = 300.0  # seconds in which the second process must be done


def numbered(backend: Any, number: int) -> QuantumCircuit:
    """An ISA circuit that measures the bits of a number: its result says which partition it was."""
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        if number >> qubit & 1:
            circuit.x(qubit)
    circuit.measure_all()
    return generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)


def work(backend: Any, pubs: list[QuantumCircuit], key: str, opened: int) -> bool:
    """What the user's cell does; whether the result is right. Writes to the pipe `opened` before it submits."""
    portal().call(clock.run, SPEED)
    with qmode.BatchController.open(backend) as batch:
        sampler = Sampler(mode=batch.primitive_mode)
        sampler.options.default_shots = SHOTS
        os.write(opened, b"o")
        result = batch.submit(sampler, pubs, partitions=PARTITIONS, key=key).result(PATIENCE)
    return [pub.data.meas.get_int_counts() for pub in result] == [{n + 1: SHOTS} for n in range(PARTITIONS)]


def apart(backend: Any, pubs: list[QuantumCircuit], key: str) -> tuple[int, int]:
    """The same in a process of its own, whose engine starts there: its id, and a pipe that tells when it submits."""
    told, opened = os.pipe()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = 0 if work(backend, pubs, key, opened) else 2
        except BaseException as error:  # noqa: BLE001 - whatever it was, the parent counts it
            print(f"  {key}: {error!r}", file=sys.stderr, flush=True)
        os._exit(code)
    os.close(opened)
    return child, told


def ran(service: Any, key: str) -> Counter[str]:
    """How often each partition of a key really ran, or will, by the service's own list."""
    jobs = service.jobs(job_tags=[tags.run_tag(tags.run_of(key))], limit=None)
    return Counter(
        next(t for t in job.tags if t.startswith("qmode:") and t.count(".") == 2)
        for job in jobs
        if job.status() in ("DONE", "RUNNING", "QUEUED")
    )


def main() -> int:
    """Run it and print the table."""
    chance, found, began = random.Random(SEED), Counter[str](), time.monotonic()
    with qmode.emulator.start(shared=False, speed=float("inf"), seed=SEED) as emulator:
        service = emulator.service
        backend = service.backend("emu_fez")
        pubs = [numbered(backend, n + 1) for n in range(PARTITIONS)]
        for name in ("a first one, which waits for the service", "undisturbed"):
            child, told = apart(backend, pubs, name)
            begun = time.monotonic()
            os.read(told, 1)
            opened = time.monotonic()
            os.waitpid(child, 0)
            ended = time.monotonic()
        for n in range(KILLS):
            key = f"kill {n}"
            first, told = apart(backend, pubs, key)
            if n % 4:  # mostly while it submits and waits, sometimes while it opens
                os.read(told, 1)
                time.sleep(chance.uniform(0, (ended - opened) / 2))  # a random moment is what is tried
            else:
                time.sleep(chance.uniform(0, ended - begun))
            os.kill(first, signal.SIGKILL)
            found["killed while at work"] += os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) == -signal.SIGKILL
            sent = len(ran(service, key))
            found["with some partitions sent"] += 0 < sent < PARTITIONS
            second, _ = apart(backend, pubs, key)
            code = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
            found["wrong results"] += code == 2
            found["no result"] += code not in (0, 2)
            counts = ran(service, key)
            found["lost"] += PARTITIONS - len(counts)
            found["doubled"] += sum(times > 1 for times in counts.values())
            print(f"  {time.monotonic() - began:.0f} s: {n + 1} kills {dict(found)}", file=sys.stderr, flush=True)
    names = ("killed while at work", "with some partitions sent", "wrong results", "no result", "lost", "doubled")
    print(f"kill -9 at {KILLS} moments, then the same key in a fresh process:")
    print("\n".join(f"  {name}: {found[name]}" for name in names))
    return int(any(found[name] for name in names[2:]))


if __name__ == "__main__":
    sys.exit(main())

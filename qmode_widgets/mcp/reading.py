"""Reads and transpiles an agent's circuits in processes of their own, within bounds of time and memory.

Sixty characters can stand for 10⁹ qubits, and thirty lines for 2²⁹ gates. What needs more than the bounds ends that
process, and not the server: the next circuits get a new one. The server reads only QPY that the process wrote.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import PubError, QmodeError
from .circuit_input import CircuitInput, Primitive

LARGEST = 256 * 2**20  # bytes of one answer
OUT_OF_MEMORY = 75  # exit status of a process whose circuit needs too much memory
PROCESSES = 2  # at once: one slow circuit holds up no other call
STARTS = 2  # of a process for one call: one that ends without having reached a bound says nothing about the circuit

# How a process ends at its bounds. An allocation that fails in Rust aborts it; without limits of CPU time (Windows) the
# server's own timer ends it.
BOUND_REACHED = {OUT_OF_MEMORY, *(-getattr(signal, name, OUT_OF_MEMORY) for name in ("SIGXCPU", "SIGABRT"))}

_SIZE = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the circuits of one call may take."""

    cpu_seconds: int = 30
    wall_seconds: float = 300.0  # the same where the machine is busy, or has no limits of CPU time
    memory: int = 2 * 2**30  # bytes of address space, beyond what the process has before it reads any


class Reading:
    """Reads circuits in at most two processes, each of which starts when it is first needed."""

    def __init__(self) -> None:
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()  # the one that was used last first
        self._all = [_Process() for _ in range(PROCESSES)]
        for process in self._all:
            self._free.put(process)

    def pubs(
        self,
        circuits: Sequence[CircuitInput],
        backend: Any,
        primitive: Primitive,
        *,
        transpile: bool,
        bounds: Bounds = Bounds(),
    ) -> list[Any]:
        """The PUBs, with ISA circuits of the backend.

        Raises:
            PubError: naming the circuit and what is wrong with it, or that it needs too much time or memory.
            QmodeError: other calls' circuits are still being read.
        """
        from .circuits import pub_of

        plugin = getattr(backend, "get_translation_stage_plugin", None)
        asked = {
            "circuits": [c.model_dump() for c in circuits],
            "primitive": primitive,
            "backend": str(backend.name),
            "transpile": transpile,
            "translation": plugin() if callable(plugin) else None,
            "cpu_seconds": bounds.cpu_seconds,
            "memory": bounds.memory,
        }
        try:
            process = self._free.get(timeout=bounds.wall_seconds)
        except queue.Empty:
            raise QmodeError("the circuits of other calls are still being read: try again in a while") from None
        try:
            read = process.ask(json.dumps(asked).encode(), pickle.dumps(backend.target), bounds)
        finally:
            self._free.put(process)
        return [
            pub_of(i, given, base64.b64decode(one["qpy"]), [[(p, c) for p, c in t] for t in one["terms"]], primitive)
            for i, (given, one) in enumerate(zip(circuits, read, strict=True))
        ]

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.close()


class _Process:
    """One process that reads circuits, for one call at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, asked: bytes, target: bytes, bounds: Bounds) -> list[Any]:
        """What it reads, a circuit after the other."""
        for _ in range(STARTS):
            process = self._process
            if process is None or process.poll() is not None:
                process = self._process = _start()
            began = time.monotonic()
            # A read of the pipe has no deadline of its own on every system; the MCP server runs on threads as it is.
            timer = threading.Timer(bounds.wall_seconds, process.kill)
            timer.daemon = True
            timer.start()
            read: list[Any] = []
            try:
                self._converse(process, asked, target, read)
                return read
            except (OSError, EOFError):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)  # how it ended by itself says which bound it reached
                self.close()
                code = process.returncode
            except BaseException as error:
                if not isinstance(error, PubError):
                    self.close()  # the conversation is cut in the middle
                raise
            finally:
                timer.cancel()
            if time.monotonic() - began >= bounds.wall_seconds or code in BOUND_REACHED:
                raise PubError(
                    len(read),
                    f"reading it takes more than {bounds.cpu_seconds} s of CPU time or {bounds.memory / 2**30:.3g} GiB "
                    "of memory: make it smaller, or write fewer gates, qubits or levels of gate definitions",
                )
        raise PubError(
            len(read),
            f"the process that reads circuits ended on it, {STARTS} times ({_how(code)}): make it smaller, or check "
            "that this machine has memory to spare",
        )

    @staticmethod
    def _converse(process: subprocess.Popen[bytes], asked: bytes, target: bytes, read: list[Any]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        _write(process.stdin, asked)
        _write(process.stdin, target)
        while "end" not in (told := json.loads(_read(process.stdout))):
            if "error" in told:
                raise PubError(told["pub"], told["error"])
            read.append(told)

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _how(code: int) -> str:
    return signal.Signals(-code).name if -code in {*signal.Signals} else f"exit status {code}"


def _start() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    one = {"RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "QISKIT_PARALLEL": "FALSE"}
    one["RUST_BACKTRACE"] = "0"  # running out of memory is nothing to report
    return subprocess.Popen(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | one | {"PYTHONPATH": path},
    )


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(_SIZE.pack(len(data)) + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_SIZE.size)
    if len(head) < _SIZE.size:
        raise EOFError
    size = _SIZE.unpack(head)[0]
    if size > LARGEST:
        raise EOFError
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


# --- in the process ------------------------------------------------------------------------------------------------


def main() -> None:
    """Serve one parent over standard input and output until it closes them."""
    there, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints is no part of the conversation
    from . import circuits  # before the bounds: importing qiskit is not the circuit's doing

    taken = _address_space()  # mostly reserved by allocators: a circuit gets its memory beyond it

    while True:
        try:
            asked, target = json.loads(_read(there)), pickle.loads(_read(there))  # noqa: S301 - the server wrote it
        except EOFError:
            return
        _bound(asked["cpu_seconds"], taken + asked["memory"])
        number = 0
        try:
            for number, one in enumerate(asked["circuits"]):
                given = CircuitInput.model_validate(one)
                data, terms = circuits.read(
                    number,
                    given,
                    asked["primitive"],
                    target,
                    asked["backend"],
                    transpile=asked["transpile"],
                    translation=asked["translation"],
                )
                _write(out, json.dumps({"qpy": base64.b64encode(data).decode(), "terms": terms}).encode())
            _write(out, b'{"end": true}')
        except PubError as error:
            _tell(out, number, str(error).removeprefix(f"PUB {number}: "))
        except RecursionError:
            _tell(out, number, "its expressions are nested too deeply to be read")
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - a pass of the transpiler raises anything
            _tell(out, number, f"it cannot be transpiled for {asked['backend']}: {error}")


def _tell(out: IO[bytes], number: int, why: str) -> None:
    _write(out, json.dumps({"pub": number, "error": why}).encode())


def _address_space() -> int:
    """Bytes of address space that this process has; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def _bound(cpu_seconds: int, memory: int) -> None:
    """Bounds of the next circuits, where the system has them."""
    try:
        import resource
    except ImportError:  # Windows: the server's own timer is left
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(spent.ru_utime + spent.ru_stime) + 1 + cpu_seconds
    for kind, bound in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        _, most = resource.getrlimit(kind)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (bound if most == resource.RLIM_INFINITY else min(bound, most), most))


if __name__ == "__main__":
    main()

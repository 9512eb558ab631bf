"""Reads and transpiles an agent's circuits in a process of its own, within bounds of time and memory.

Sixty characters can stand for 10⁹ qubits, and thirty lines for 2²⁹ gates. What needs more than the bounds ends that
process, and not the server: the next circuits get a new one. The server reads only QPY that the process wrote.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ..errors import PubError, QmodeError
from .arguments import CircuitInput, Primitive

CPU_SECONDS = 30  # for the circuits of one call
WALL_SECONDS = 300.0  # the same where the machine is busy, or has no limits of CPU time
MEMORY = 2 * 2**30  # bytes of address space
LARGEST = 256 * 2**20  # bytes of one answer

_SIZE = struct.Struct("!Q")


class Reading:
    """The process that reads circuits; it starts when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one request at a time in the reading process
        self._process: subprocess.Popen[bytes] | None = None

    def pubs(
        self, circuits: Sequence[CircuitInput], backend: Any, primitive: Primitive, *, transpile: bool
    ) -> list[Any]:
        """The PUBs, with ISA circuits of the backend.

        Raises:
            PubError: naming the circuit and what is wrong with it, or that it needs too much time or memory.
        """
        from .circuits import pub_of

        plugin = getattr(backend, "get_translation_stage_plugin", None)
        asked = {
            "circuits": [c.model_dump() for c in circuits],
            "primitive": primitive,
            "backend": str(backend.name),
            "transpile": transpile,
            "translation": plugin() if callable(plugin) else None,
        }
        with self._lock:
            read = self._ask(json.dumps(asked).encode(), pickle.dumps(backend.target))
        return [
            pub_of(i, given, base64.b64decode(one["qpy"]), [[(p, c) for p, c in t] for t in one["terms"]], primitive)
            for i, (given, one) in enumerate(zip(circuits, read, strict=True))
        ]

    def _ask(self, asked: bytes, target: bytes) -> list[Any]:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = _start()
        timer = threading.Timer(WALL_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        read: list[Any] = []
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _write(process.stdin, asked)
            _write(process.stdin, target)
            while True:
                told = json.loads(_read(process.stdout))
                if "end" in told:
                    return read
                if "error" in told:
                    raise PubError(told["pub"], told["error"])
                read.append(told)
        except (OSError, EOFError):
            self.close()
            raise PubError(
                len(read),
                f"reading it takes more than {CPU_SECONDS} s of CPU time or {MEMORY // 2**30} GiB of memory: make it "
                "smaller, or write fewer gates, qubits or levels of gate definitions",
            ) from None
        except BaseException as error:
            if not isinstance(error, QmodeError):
                self.close()  # the conversation is cut in the middle
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


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

    while True:
        try:
            asked, target = json.loads(_read(there)), pickle.loads(_read(there))  # noqa: S301 - the server wrote it
        except EOFError:
            return
        _bound()
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
            os._exit(1)
        except Exception as error:  # noqa: BLE001 - a pass of the transpiler raises anything
            _tell(out, number, f"it cannot be transpiled for {asked['backend']}: {error}")


def _tell(out: IO[bytes], number: int, why: str) -> None:
    _write(out, json.dumps({"pub": number, "error": why}).encode())


def _bound() -> None:
    """Bounds of the next circuits, where the system has them."""
    try:
        import resource
    except ImportError:  # Windows: the server's own timer is left
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(spent.ru_utime + spent.ru_stime) + 1 + CPU_SECONDS
    for kind, bound in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, MEMORY)):
        _, most = resource.getrlimit(kind)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (bound if most == resource.RLIM_INFINITY else min(bound, most), most))


if __name__ == "__main__":
    main()

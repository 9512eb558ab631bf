"""Worker processes: one that dies fails only its own task, and a cancelled task ends only its own process.

Each has a pipe of its own, so that no lock or queue between them can be left broken. On Linux they are forked from a
process that has imported the libraries once: a new one costs milliseconds instead of a second of a core, and they share
that memory. Elsewhere each imports them itself: numpy on macOS does not survive a fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from .. import processes
from .answer import Answer, work

FORKS = sys.platform == "linux"
_PRELOAD = f"{__package__}.preload"


class Workers:
    """Starts processes as they are needed and keeps them for the next task.

    Args:
        most: tasks that are given at once.
        memory: bytes that a task may use.
    """

    def __init__(self, most: int, memory: int) -> None:
        self._memory = memory
        self._threads = ThreadPoolExecutor(most, "worker")  # each waits for a process
        self._starting: set[asyncio.Future[_Worker]] = set()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()

    async def call(self, header: dict[str, Any], body: bytes) -> Answer:
        """Do a task in a process. Cancelling it ends the process.

        Raises:
            EOFError: the process died.
            OSError: it died, or could not be started.
        """
        worker = self._kept() or await self._start()
        self._busy.add(worker)
        asked = asyncio.get_running_loop().run_in_executor(self._threads, worker.ask, header, body)
        try:
            answer = await asyncio.shield(asked)
            self._idle.append(worker)
        except asyncio.CancelledError:
            worker.kill()
            with contextlib.suppress(EOFError, OSError):
                await asked
                worker.close()  # it had answered in the last moment
            raise
        finally:
            self._busy.discard(worker)
        return answer

    def _kept(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_waiting():
                return worker
            worker.close()
        return None

    async def _start(self) -> _Worker:
        starting = asyncio.get_running_loop().run_in_executor(self._threads, _Worker, self._memory)
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._keep)
            raise

    def _keep(self, started: asyncio.Future[_Worker]) -> None:
        if not started.cancelled() and started.exception() is None:
            self._idle.append(started.result())

    async def stop(self) -> None:
        """End the processes."""
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in (*self._busy, *self._idle):
            worker.kill()
        await asyncio.to_thread(self._threads.shutdown)
        for worker in self._idle:
            worker.close()


class _Worker:
    """A process that does one task after the other. `ask` and starting one block: they are for threads.

    Args:
        memory: bytes that a task may use.
    """

    def __init__(self, memory: int) -> None:
        context: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        if FORKS:
            context.set_forkserver_preload([_PRELOAD])
        self._pipe, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(target=_serve, args=(theirs, memory), daemon=True)
            self._process.start()

    def ask(self, header: dict[str, Any], body: bytes) -> Answer:
        """Do a task."""
        try:
            self._pipe.send((header, body))
            answer: Answer = self._pipe.recv()
        except BaseException:
            self.kill()
            self.close()
            raise
        return answer

    def is_waiting(self) -> bool:
        """Whether the process waits for a task: nothing can be read from it, not even the pipe's end."""
        return not self._pipe.poll()

    def kill(self) -> None:
        """End the process; the thread that waits for its answer has an EOFError."""
        self._process.kill()

    def close(self) -> None:
        """Let go of what an ended process leaves."""
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, memory: int) -> None:
    """Do tasks until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all: the service ends its workers
    _end_with_service()
    from .programs import warm_up

    warm_up()  # before we settle: somebody waits for the libraries
    processes.settle_worker(memory)
    while True:
        try:
            header, body = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(work(header, body))


def _end_with_service() -> None:
    """Let this process end with the service's, however that ends; elsewhere than on Linux when its task is done."""
    service = multiprocessing.parent_process()
    if sys.platform != "linux" or service is None:
        return
    import fcntl

    # The kernel sends SIGIO, which ends us, when the pipe that only the service writes to is closed. A thread could not
    # look at it: Aer keeps the interpreter's lock while it simulates.
    pipe = service.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)

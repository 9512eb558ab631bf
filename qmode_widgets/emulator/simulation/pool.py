"""Worker processes: one reads and times submissions, the others simulate. A worker that dies fails only its own job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .. import processes
from ..backends import Device
from .worker import LENGTHS, pack

log = logging.getLogger(__name__)

_GRACE = 1.0
_READING = 120.0
DIED = {
    "failed": {
        "code": 9998,
        "reason": "The job's process ended unexpectedly: it was killed or ran out of memory.",
        "solution": "Reduce the circuits or the shots, or submit the job again.",
        "system": True,
    }
}


@dataclass(slots=True, eq=False)
class Task:
    """A header and body for a worker; `answer` is the header and body that come back."""

    header: dict[str, Any]
    body: bytes
    answer: asyncio.Future[tuple[dict[str, Any], bytes]]
    worker: Worker | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """A process and its task."""

    process: asyncio.subprocess.Process
    ready: bool = False
    task: Task | None = None
    reader: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Pool:
    """Processes that take tasks in order. A process that ends is replaced."""

    names: list[str]
    size: int
    queue: deque[Task] = field(default_factory=deque)
    workers: list[Worker] = field(default_factory=list)
    _closing: bool = False
    _failures: int = 0

    async def start(self) -> None:
        """Start the processes; they import the libraries while the server already answers."""
        for _ in range(self.size):
            await self._spawn()

    async def _spawn(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *processes.command("qmode_widgets.emulator.simulation.worker", *self.names),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=processes.environment(PYTHONWARNINGS="ignore"),
            limit=2**20,
        )
        worker = Worker(process)
        self.workers.append(worker)
        worker.reader = asyncio.create_task(self._serve(worker))

    async def _serve(self, worker: Worker) -> None:
        stream = worker.process.stdout
        assert stream is not None
        try:
            while True:
                head, body = LENGTHS.unpack(await stream.readexactly(LENGTHS.size))
                header = json.loads(await stream.readexactly(head))
                result = await stream.readexactly(body)
                task, worker.task = worker.task, None
                worker.ready = True
                self._failures = 0
                if task and not task.answer.done():
                    task.answer.set_result((header, result))
                self._next()
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._ended(worker)

    async def _ended(self, worker: Worker) -> None:
        self.workers.remove(worker)
        await worker.process.wait()
        if worker.task and not worker.task.answer.done():
            worker.task.answer.set_result((DIED, b""))
        if self._closing:
            return
        log.warning("a worker ended with code %s; it is replaced", worker.process.returncode)
        if not worker.ready:
            self._failures += 1
            if self._failures >= 3:  # they cannot start: report it instead of trying for ever
                log.error("workers cannot start: jobs will fail")
                while self.queue:
                    self.queue.popleft().answer.set_result((DIED, b""))
                return
            await asyncio.sleep(0.2)
        await self._spawn()

    def submit(self, header: dict[str, Any], body: bytes) -> Task:
        """Queue a task."""
        task = Task(header, body, asyncio.get_running_loop().create_future())
        if not self.workers and self._failures >= 3:
            task.answer.set_result((DIED, b""))
        else:
            self.queue.append(task)
            self._next()
        return task

    def cancel(self, task: Task) -> None:
        """Drop a task. A process that works on it is killed, so that the core is free again."""
        if task.answer.done():
            return
        task.answer.cancel()
        if task.worker and task.worker.task is task:
            # A new process takes seconds to start, so a task that is nearly done may finish.
            asyncio.get_running_loop().call_later(_GRACE, self._end, task.worker, task)
        else:
            with contextlib.suppress(ValueError):
                self.queue.remove(task)

    @staticmethod
    def _end(worker: Worker, task: Task) -> None:
        if worker.task is task:
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()

    def _next(self) -> None:
        for worker in self.workers:
            if not self.queue:
                return
            if worker.ready and worker.task is None and worker.process.returncode is None:
                task = self.queue.popleft()
                worker.task, task.worker = task, worker
                assert worker.process.stdin is not None
                worker.process.stdin.write(pack(task.header, task.body))

    async def stop(self) -> None:
        """End the processes."""
        self._closing = True
        for worker in list(self.workers):
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
        for worker in list(self.workers):
            await worker.process.wait()
            if worker.reader:
                worker.reader.cancel()


class Engine:
    """Reads and runs jobs in worker processes."""

    def __init__(self, names: list[str], workers: int, *, noise: bool, max_qubits: int) -> None:
        cores = os.cpu_count() or 1
        count = workers or min(cores, 4)
        self._common = {"noise": noise, "max_qubits": max_qubits, "threads": max(1, cores // count)}
        self._intake = Pool(names, 1)
        self._simulation = Pool(names, count)

    async def start(self) -> None:
        """Start the processes."""
        await self._intake.start()
        await self._simulation.start()

    async def read(self, program: str, device: Device, params: bytes) -> dict[str, Any]:
        """Return the durations of a job, or why its params cannot be read (`invalid`, `failed`)."""
        header = {"task": "intake", "program": program} | _named(device)
        answer = await self._intake_answer(header, params)
        if answer is None:
            return {"invalid": f"params took more than {_READING:g} s to read"}
        return answer[0]

    async def split(self, body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the fields of a submission's JSON without its params, and the params as JSON of their own.

        Raises:
            ValueError: the body is not JSON, not a submission, or takes too long to read.
        """
        answer = await self._intake_answer({"task": "split"}, body)
        if answer is None:
            raise ValueError(f"The body took more than {_READING:g} s to read.")
        header, params = answer
        if "fields" not in header:
            raise ValueError(header.get("invalid") or header["failed"]["reason"])
        return header["fields"], params

    async def _intake_answer(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes] | None:
        task = self._intake.submit(header, body)
        try:
            return await asyncio.wait_for(asyncio.shield(task.answer), _READING)
        except TimeoutError:
            self._intake.cancel(task)
            return None

    def run(self, program: str, device: Device, params: bytes) -> Task:
        """Simulate a job."""
        return self._simulation.submit({"task": "run", "program": program} | _named(device) | self._common, params)

    def cancel(self, task: Task) -> None:
        """Drop a job's simulation."""
        self._simulation.cancel(task)

    async def stop(self) -> None:
        """End the processes."""
        await asyncio.gather(self._intake.stop(), self._simulation.stop())


def _named(device: Device) -> dict[str, Any]:
    return {"device": device.name, "calibration": device.calibration}

"""Runs tasks in worker processes: one reads and times submissions, the others simulate.

With the option `dask` the simulations run on a cluster instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import processes
from ..backends import Device
from ..options import Options
from .answer import DIED, Answer
from .cluster import Cluster
from .methods import CLIFFORD, MPS, Settings
from .workers import Workers

log = logging.getLogger(__name__)

_GRACE = 1.0
_READING = 120.0


class Engine:
    """Reads and runs jobs in worker processes.

    Args:
        options: of the service.
    """

    def __init__(self, options: Options) -> None:
        cores = os.cpu_count() or 1
        self._count = options.workers or min(cores, 4)
        memory = processes.memory() * 3 // 4 // self._count
        self._settings = Settings(
            options.simulation,
            options.max_qubits,
            options.bond_dimension,
            memory,
            max(1, cores // self._count),
            options.noise,
        )
        self._seconds = options.mps_seconds
        self._common = {"backends": options.backends, "twin": options.twin or None}
        text = Path(options.twin).read_text() if options.twin and options.dask else None
        self._cluster = Cluster(options.dask, text) if options.dask else None
        self._workers = Workers(self._count + 1, memory)
        self._intake = asyncio.Semaphore(1)
        self._simulation = asyncio.Semaphore(self._count)
        self._simulating: set[asyncio.Task[Answer]] = set()
        self._starting: asyncio.Task[None] | None = None
        self.ready = False  # whether a worker can take a job at once

    async def start(self) -> None:
        """Start the processes; they import the libraries while the server already answers.

        Raises:
            ValueError: the Dask cluster cannot be used.
        """
        if self._cluster is not None:
            await self._cluster.connect()
            self._simulation = asyncio.Semaphore(self._cluster.slots)
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        # The first gets all cores, so that the first job can run as soon as possible; then the others.
        first = await self._call({"task": "warm up"} | self._common, b"")
        if first[0] == DIED:
            log.error("workers cannot start: jobs will fail")
        self.ready = True
        if self._cluster is None:
            await asyncio.gather(*(self._call({"task": "warm up"} | self._common, b"") for _ in range(self._count + 1)))

    async def _call(self, header: dict[str, Any], body: bytes) -> Answer:
        """Run a task in a process. Cancelling it ends the process."""
        try:
            answer = await self._workers.call(header, body)
        except (EOFError, OSError):
            log.warning("a worker ended; it is replaced")
            return DIED, b""
        return _logged(answer)

    async def read(self, program: str, device: Device, params: bytes) -> dict[str, Any]:
        """Return the durations of a job, or why its params cannot be read (`invalid`, `failed`)."""
        header = {"task": "intake", "program": program} | _named(device)
        answer = await self._read(header, params)
        if answer is None:
            return {"invalid": f"params took more than {_READING:g} s to read"}
        return answer[0]

    async def split(self, body: bytes) -> Answer:
        """Return the fields of a submission's JSON without its params, and the params as JSON of their own.

        Raises:
            ValueError: the body is not JSON, not a submission, or takes too long to read.
        """
        answer = await self._read({"task": "split"}, body)
        if answer is None:
            raise ValueError(f"The body took more than {_READING:g} s to read.")
        header, params = answer
        if "fields" not in header:
            raise ValueError(header.get("invalid") or header["failed"]["reason"])
        return header["fields"], params

    async def _read(self, header: dict[str, Any], body: bytes) -> Answer | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READING), self._intake:
                return await self._call(header | self._common, body)
        return None

    def run(self, program: str, device: Device, params: bytes) -> asyncio.Task[Answer]:
        """Simulate a job."""
        header = {"task": "run", "program": program} | _named(device) | self._common
        return asyncio.create_task(self._run(header, params))

    async def _run(self, header: dict[str, Any], params: bytes) -> Answer:
        async with self._simulation:
            task = asyncio.current_task()
            assert task is not None
            self._simulating.add(task)
            task.add_done_callback(self._simulating.discard)
            answer = await self._simulate(header, params, inexact=None)
            if answer[0].get("again") == MPS and self._seconds:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        answer = await self._simulate(header, params, inexact=MPS, seconds=self._seconds)
            if "again" in answer[0]:
                answer = await self._simulate(header, params, inexact=CLIFFORD)
            return answer

    async def _simulate(
        self, header: dict[str, Any], params: bytes, *, inexact: str | None, seconds: float | None = None
    ) -> Answer:
        settings = asdict(self._settings) | {"inexact": inexact, "seconds": seconds}
        if self._cluster is None:
            return await self._call(header | {"settings": settings}, params)
        return _logged(await self._cluster.call(header | {"settings": settings}, params))

    def cancel(self, task: asyncio.Task[Answer]) -> None:
        """Drop a job's simulation, so that the core is free again."""
        if task in self._simulating:
            # Where processes are not forked a new one takes seconds, so a task that is nearly done may finish.
            asyncio.get_running_loop().call_later(_GRACE, task.cancel)
        else:
            task.cancel()

    async def stop(self) -> None:
        """End the processes."""
        tasks: list[asyncio.Task[Any]] = [*self._simulating]
        if self._starting is not None:
            tasks.append(self._starting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._workers.stop()
        if self._cluster is not None:
            await self._cluster.close()


def _logged(answer: Answer) -> Answer:
    if said := answer[0].pop("traceback", None):
        log.error(said)
    return answer


def _named(device: Device) -> dict[str, Any]:
    return {"device": device.name, "calibration": device.calibration}

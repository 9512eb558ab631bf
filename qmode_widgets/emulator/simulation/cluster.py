"""Simulates on an existing Dask cluster. The service keeps no state there: a task is a job's params, and its answer."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from ..backends import Device, devices
from ..options import names_in
from ..twin import Twin
from .answer import DIED, Answer, answer

_CONNECTING = 10.0


class Cluster:
    """A connection to the scheduler of a cluster.

    Args:
        address: of the scheduler, such as `tcp://scheduler:8786`.
        twin: the text of a twin's file, which goes to the cluster's workers once.
    """

    def __init__(self, address: str, twin: str | None) -> None:
        self._address = address
        self._twin: Any = twin
        self._client: Any = None
        self.slots = 1  # tasks that run at once

    async def connect(self) -> None:
        """Connect.

        Raises:
            ValueError: Dask is not installed, or the scheduler does not answer.
        """
        try:
            from distributed import Client
        except ImportError:
            raise ValueError(f"dask={self._address!r}: install qmode_widgets[dask] first") from None
        try:
            self._client = await Client(self._address, asynchronous=True, timeout=_CONNECTING, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"dask={self._address!r}: the scheduler cannot be reached: {error}") from None
        self.slots = max(1, sum((await self._client.nthreads()).values()))
        if self._twin is not None:
            self._twin = await self._client.scatter(self._twin, broadcast=True)

    async def call(self, header: dict[str, Any], body: bytes) -> Answer:
        """Run a task; a lost worker's is run again, three times at most. Cancelling it restarts its worker."""
        from distributed import KilledWorker

        future = self._client.submit(simulate, header, body, self._twin, pure=False)
        try:
            found: Answer = await future
        except asyncio.CancelledError:
            await self._drop(future)
            raise
        except KilledWorker:
            return DIED, b""
        return found

    async def _drop(self, future: Any) -> None:
        """Cancel a task. Dask cannot interrupt one that runs, so its worker is restarted."""
        processing = await self._client.processing()
        workers = [address for address, keys in processing.items() if future.key in keys]
        await future.cancel(force=True)
        if workers:
            # A worker without a nanny cannot be restarted: its task runs to its end, and is forgotten.
            await self._client.restart_workers(workers, timeout=_CONNECTING, raise_for_error=False)

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()


def simulate(header: dict[str, Any], body: bytes, twin: str | None) -> Answer:
    """Do one task in a worker of the cluster, within the memory that it may use."""
    from distributed import get_worker

    from .. import processes

    worker = get_worker()
    memory = int(worker.memory_manager.memory_limit or processes.memory() * 3 // 4) // worker.state.nthreads
    settings = header["settings"] | {"memory": memory, "threads": 1}
    return answer(header | {"settings": settings}, body, _devices(header["backends"], twin))


@lru_cache(maxsize=4)
def _devices(backends: str, twin: str | None) -> dict[str, Device]:
    return devices(names_in(backends), None if twin is None else Twin.model_validate_json(twin))

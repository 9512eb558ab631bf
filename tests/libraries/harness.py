"""What each library must come through as it is: plainly, watched, with a failure, with a lost answer, under a cap."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qmode_widgets as qmode
from qmode_widgets.model.snapshot import JobState

Work = Callable[[Any], None]


@contextmanager
def watching(**limits: Any) -> Iterator[Any]:
    """`qmode.watch()` for a while, with look-ups of lost answers that need not wait for a real service's listings."""
    found = qmode.watch(**limits)
    try:
        yield found
    finally:
        qmode.unwatch()
        for controller in found.controllers:
            if controller.snapshot().mode != "job":
                controller.end(running=False)
            controller.forget()


def unmodified(work: Work, backend: Any) -> None:
    """A library's own warnings, and the client's about its older primitives, are none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work(backend)


def rows(found: Any) -> list[Any]:
    """All jobs of all workloads."""
    return [job for controller in found.controllers for job in controller.jobs]


def posted(emulator: Any) -> int:
    """How many jobs were asked for since the record of requests began."""
    return sum(method == "POST" and path.endswith("/jobs") for method, path, _ in emulator.faults.requests())


def plainly(work: Work, backend: Any) -> None:
    """Without us."""
    unmodified(work, backend)


def shows_at_once(work: Work, backend: Any, emulator: Any) -> None:
    """Each job has a row as soon as it was posted, protected, and done in the end."""
    emulator.faults.forget_requests()
    with watching() as found:
        unmodified(work, backend)
        made = rows(found)
        assert len(made) == posted(emulator) > 0
        assert [job.job_id for job in made if job.note == "seen, not protected"] == []
        assert {c.wait(60) for c in found.controllers} == {True}
        assert {job.state for job in rows(found)} == {JobState.DONE}


def survives_a_failure(work: Work, backend: Any, emulator: Any) -> None:
    """The first job fails for a transient reason; the library does not notice."""
    emulator.faults.fail_jobs(1, code=9707)
    with watching(retries=1) as found:
        unmodified(work, backend)
        assert [job.state for job in rows(found)].count(JobState.FAILED) == 1
        # A retry that the library's closing overtook is refused, and goes on in a new batch: one of them ran.
        assert sum(job.attempt > 0 and job.state is not JobState.REFUSED for job in rows(found)) == 1


def runs_once(work: Work, backend: Any, emulator: Any, service: Any) -> None:
    """The answer to the first submission is lost after the job was made."""
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    with watching() as found:
        unmodified(work, backend)
        made = rows(found)
        ids = {job.job_id for job in made}
        tags = [f"qmode:{job.run}" for job in made]
        on_service = [j.job_id() for tag in tags for j in service.jobs(job_tags=[tag], limit=10)]
        assert sorted(on_service) == sorted(ids)


def is_capped(work: Work, backend: Any, emulator: Any) -> None:
    """No job may use more than the cap leaves; what goes over it is refused, whatever the library makes of that."""
    with watching(usage_cap=3) as found:
        try:
            unmodified(work, backend)
        except Exception as error:  # noqa: BLE001 - each library has its own way of passing on the client's error
            said = f"{error!r} {error.__cause__!r} {error.__context__!r}"
            assert any(word in said for word in ("usage cap", "maximum execution time", "closed", "1305", "ailed")), (
                said
            )
        for controller in found.controllers:
            shot = controller.snapshot()
            sent = [job for job in shot.jobs if job.job_id]
            costs = [controller.service._get_api_client().job_get(job.job_id)["cost"] for job in sent]
            assert costs
            assert max(costs) <= 3

"""What a library must come through as it is: plainly, watched, with a failure, with a lost answer, under a cap."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pytest loads this file for each run; qiskit only where a test asks for it
    from ..control.watch import Watch
    from ..emulator.client.launch import Emulator
    from ..model.snapshot import JobSnapshot

Work = Callable[[Any], None]  # takes a backend, submits at least one job, and checks what comes back
Proof = Callable[[Work, Any, "Emulator"], None]

SECONDS = 60.0  # for jobs that the library does not wait for itself
# What an error that the cap causes says: in our words, in the client's, or in a library's that tells only of a failure.
OF_THE_CAP = ("usage cap", "maximum execution time", "closed", "1305", "ailed")


@contextmanager
def watching(**limits: Any) -> Iterator[Watch]:
    """`qmode_widgets.watch(**limits)` for a while; what it found is ended and forgotten afterwards."""
    from ..control.watch import unwatch, watch

    found = watch(**limits)
    try:
        yield found
    finally:
        unwatch()
        for controller in found.controllers:
            if controller.snapshot().mode != "job":
                controller.end(running=False)
            controller.forget()


def runs_plainly(work: Work, backend: Any, emulator: Emulator) -> None:
    """Without us."""
    _run(work, backend)
    assert _posted(emulator) > 0, "it submitted no job to the backend that it was given"


def rows_at_once(work: Work, backend: Any, emulator: Emulator) -> None:
    """Each job has a row as soon as it was posted, protected, and is done in the end."""
    from ..model.snapshot import JobState

    with watching() as found:
        _run(work, backend)
        rows, posted = _rows(found), _posted(emulator)
        assert posted > 0, "it submitted no job to the backend that it was given"
        assert len(rows) == posted, (
            f"{posted} jobs were posted, and watch() saw {len(rows)}: it sees what goes through qiskit-ibm-runtime"
        )
        assert [job.job_id for job in rows if job.note == "seen, not protected"] == []
        for controller in found.controllers:
            assert controller.wait(SECONDS), f"{controller!r} still runs after {SECONDS:g} s"
        assert {job.state for job in _rows(found)} == {JobState.DONE}


def survives_a_failure(work: Work, backend: Any, emulator: Emulator) -> None:
    """The first job fails for a transient reason, and runs again; the library does not notice."""
    from ..model.snapshot import JobState

    emulator.faults.fail_jobs(1, code=9707)
    with watching(retries=1) as found:
        _run(work, backend)
        rows = _rows(found)
        assert [job.state for job in rows].count(JobState.FAILED) == 1
        # A retry that the library's closing overtook is refused, and goes on in a new batch: one of them ran.
        again = sum(job.attempt > 0 and job.state is not JobState.REFUSED for job in rows)
        assert again == 1, f"the job that failed ran again {again} times"


def makes_one_job(work: Work, backend: Any, emulator: Emulator) -> None:
    """The answer to the first submission is lost after the job was made: it is found, not posted again."""
    emulator.faults.fail_requests(504, method="POST", path="/jobs", when="after")
    with watching() as found:
        _run(work, backend)
        rows = _rows(found)
        ours = sorted(str(job.job_id) for job in rows)
        tags = [f"qmode:{job.run}" for job in rows]
        there = sorted(j.job_id() for tag in tags for j in emulator.service.jobs(job_tags=[tag], limit=10))
        assert there == ours, f"the service has the jobs {there}, and watch() knows of {ours}"


def cap_acts(work: Work, backend: Any, emulator: Emulator, cap: float = 3.0) -> None:
    """No job may use more than the cap leaves; what goes over it is refused, whatever the library makes of that.

    A job that needs more than all of the cap is not even sent. Where that leaves no job at all, the cap is raised to
    ten times as much, and to a hundred times.

    Args:
        work: the library's.
        backend: for it.
        emulator: whose backend it is.
        cap: seconds.
    """
    for bound in (cap, 10 * cap, 100 * cap):
        if _sent_under(bound, work, backend, emulator):
            return
    raise AssertionError(f"watch() saw no job, with a cap of {bound:g} s neither")


def _sent_under(cap: float, work: Work, backend: Any, emulator: Emulator) -> bool:
    """Whether the cap let a job be sent; each was bound by it."""
    from ..ibm.client import instance_of
    from ..ibm.link import ask, link_of

    before = _posted(emulator)
    with watching(usage_cap=cap) as found:
        try:
            _run(work, backend)
        except Exception as error:  # noqa: BLE001 - each library has its own way of passing on the client's error
            said = f"{error!r} {error.__cause__!r} {error.__context__!r}"
            assert any(word in said for word in OF_THE_CAP), f"the cap is not why it failed: {said}"
        link = link_of(emulator.service, str(instance_of(backend)))
        sent = [job.job_id for job in _rows(found) if job.job_id]
        posted = _posted(emulator) - before
        assert sent or not posted, f"{posted} jobs were posted, and watch() saw none"
        bounds = {
            id_: ask(link.read, f"/jobs/{id_}")["cost"] for id_ in sent
        }  # seconds after which the service ends it
        assert max(bounds.values(), default=0) <= cap, f"of a cap of {cap:g} s, jobs may use {bounds}"
        return bool(sent)


PROOFS: tuple[Proof, ...] = (runs_plainly, rows_at_once, survives_a_failure, makes_one_job, cap_acts)


def _run(work: Work, backend: Any) -> None:
    """A library's own warnings, and the client's about its older primitives, are none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work(backend)


def _rows(found: Watch) -> list[JobSnapshot]:
    """All jobs of all workloads."""
    return [job for controller in found.controllers for job in controller.jobs]


def _posted(emulator: Emulator) -> int:
    """How many jobs were asked for since the test began."""
    return sum(method == "POST" and path.endswith("/jobs") for method, path, _ in emulator.faults.requests())

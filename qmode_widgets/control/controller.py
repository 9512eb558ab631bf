"""What the three controllers share: submit, watch, cancel, resubmit, close, results, commands of a screen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import IncompleteResultError, QmodeError, ServiceError, SubmissionError, UnreachableError
from ..ibm.client import Kind, backend_of, self_test, target_of
from ..ibm.link import patiently
from ..model import tags
from ..model.partition import Partition
from ..model.snapshot import Event, JobSnapshot, JobState, Mode, Ttl, Usage, WorkloadSnapshot
from ..model.text import state_word, table
from ..planning.content import PlanContent
from ..planning.plan import before_sending
from ..planning.preflight import Preflight
from ..planning.settings import options_set
from . import actions, prepare, primitives
from .actions import cancel_duplicates, cancel_found, report_doubles
from .adoption import Adoption
from .archive import save
from .guards import Guards
from .interrupts import Uninterrupted
from .ledger import Ledger
from .provenance import Provenance, provenance, run_usage
from .record import Record
from .report import report
from .results import Results
from .runtime import registry, runtime_of
from .submission import PartitionAttempt
from .sync import merge, pages, refresh

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

log = logging.getLogger(__name__)

LONGEST_KEY = 200
SWEPT = 5.0  # seconds after which a partition that is in no queue was forgotten by somebody
MOST_LISTED = 10  # results that an error names


class Controller:
    """The base of the controllers. All methods may be called from any thread."""

    _mode: ClassVar[Mode]

    def __init__(self, ledger: Ledger, *, usage_cap: float | None = None, retries: int = 0) -> None:
        self._ledger = ledger
        self._runtime = runtime_of(ledger.link.service, ledger.link.instance)
        self._results = Results(ledger)
        self._guards = Guards(ledger, self._act, retries=retries)
        self._submits, self._redoing = threading.RLock(), threading.RLock()
        self._adoption = Adoption(
            ledger,
            self._guards,
            check=self._check_open,
            new_run=self._new_run,
            send=self._send,
            wake=self._wake,
            submits=self._submits,
        )
        self._options: dict[str, dict[str, Any]] = {}  # of the primitive of each run
        self._plans: dict[str, PlanContent] = {}  # of each run that a plan submitted
        self._set_limits(usage_cap, 0)
        ledger.read_only = self_test()
        self._forgotten, self._process = False, os.getpid()
        self._closing_again = False
        registry.add(self)
        self._wake()

    # --- what it is --------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The workload's id; stays when a new workload continues this one."""
        return self._ledger.id

    @property
    def workload_id(self) -> str:
        """The service's id of the session or batch now."""
        return self._ledger.workload_id

    @property
    def workload_ids(self) -> tuple[str, ...]:
        """The service's ids of the workloads that this one continues, oldest first, and of the present one."""
        return (*self._ledger.lineage, self.workload_id)

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """Every attempt this kernel knows of, superseded ones included."""
        return self.snapshot().jobs

    @property
    def usage(self) -> Usage:
        """QPU usage in seconds: reported, expected, and which."""
        return self.snapshot().usage

    @property
    def ttl(self) -> Ttl:
        """Limits and deadlines, on the service's clock."""
        return self.snapshot().ttl

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened, oldest first."""
        return self.snapshot().events

    @property
    def runs(self) -> list[Run]:
        """One for each `submit` call, oldest first."""
        return [Run(self, r) for r in self._ledger.runs]

    @property
    def service(self) -> QiskitRuntimeService:
        """The account's service that it speaks to."""
        return self._ledger.link.service

    def take_over(self, service: Any) -> None:
        """Go on through another service object: the one so far has a key that was replaced, or its service has moved.

        What waits to be sent, is watched or capped goes on. `attach(id, service)` and a controller made anew of the
        workload's new `Batch` or `Session` do this.

        Raises:
            QmodeError: the service object has no client for the workload's instance.
        """
        if not self._ledger.link.speaks_for(service):
            self._ledger.link.take_over(service)
            self._rebind(service)
            self._wake()

    def _rebind(self, service: Any) -> None:
        """The objects of the user's come from this service now."""

    def snapshot(self) -> WorkloadSnapshot:
        """What is known now; makes no request."""
        return self._ledger.snapshot()

    def on_change(self, callback: Callable[[WorkloadSnapshot], object]) -> Callable[[], None]:
        """Call back with each changed snapshot, one after the other, on a thread of its own; returns what ends it.

        The callback may refresh, cancel or submit; it must not wait for the jobs, which is refused.
        """
        return self._ledger.observe(callback)

    def on_done(self, callback: Callable[[JobSnapshot], object], *, run: str | None = None) -> Callable[[], None]:
        """Call back once for each job that has ended and is not run again, those that have ended already included.

        Args:
            callback: gets the job. Runs on a thread of its own, one call after the other; it must not wait for jobs.
            run: only the jobs of this run.

        Returns:
            What ends it.
        """
        told: set[str] = set()

        def tell(_: WorkloadSnapshot) -> None:
            for r in self._ledger.current():
                mine = run is None or (r.key is not None and r.key.run == run)
                if mine and r.state.final and r.row not in told and not self._guards.will_retry(r):
                    told.add(r.row)
                    try:
                        callback(r.snapshot())
                    except Exception:
                        log.exception("a callback of workload %s failed", self.id)

        stop = self._ledger.observe(tell, now=True)
        self._wake()
        return stop

    def wait_until(self, predicate: Callable[[WorkloadSnapshot], bool], timeout: float | None = None) -> bool:
        """Until `predicate(snapshot)` is true; False when `timeout` seconds ran out first.

        An interrupt ends the waiting and cancels nothing.
        """
        self._refuse_waiting()
        self._wake()
        return self._ledger.wait_for(lambda: bool(predicate(self.snapshot())), timeout)

    def forget(self) -> None:
        """Let go of this workload: no thread looks after it, its caps and retries end, its results are dropped.

        Nothing changes on the service. Screens show it as gone; `attach` makes a new controller.
        """
        self.release()
        self._forgotten = True
        self._runtime.watcher.forget(self._ledger)
        registry.remove(self)
        self._results.drop()

    def release(self) -> None:
        """Give the mode object back to the client: what is submitted through it from now on is seen, not protected.

        What was submitted until now stays under control, and its job handles follow their retries.
        """
        self._adoption.release()

    @property
    def backend(self) -> Any:
        """The backend object it runs on."""
        return backend_of(self.mode)

    @property
    def mode(self) -> Any:
        """What a primitive of this workload takes as `mode`."""
        raise NotImplementedError

    @property
    def adopting(self) -> bool:
        """What is submitted directly is taken over."""
        return not (self._forgotten or self._ledger.read_only)

    @property
    def forgotten(self) -> bool:
        """`forget()` was called."""
        return self._forgotten

    def name_runs(self, label: str | None) -> None:
        """A name for the jobs that are submitted directly from now on."""
        self._adoption.label = label

    def note_opener(self, where: str, *, library: str | None) -> None:
        """Say in the events which line of code opened this, and warn when a library leaves it open and idle."""
        self._ledger.event("info", f"opened by {where}")
        self._guards.left_open_by(library, where)
        self._wake()

    # --- the client's primitives ---------------------------------------------------------------------------------

    def sampler(self, options: Any = None) -> Any:
        """The client's Sampler for this workload. What it runs is posted exactly once and within the caps.

        Its job objects are the client's own, and follow retries.
        """
        return primitives.sampler(self._door(), options)

    def estimator(self, options: Any = None) -> Any:
        """The client's Estimator for this workload; as `sampler()`."""
        return primitives.estimator(self._door(), options)

    def executor(self, options: Any = None) -> Any:
        """The client's Executor for this workload; as `sampler()`."""
        return primitives.executor(self._door(), options)

    def _door(self) -> Any:
        """The mode of these primitives."""
        return self._adoption.door(self.backend)

    def refresh(self) -> WorkloadSnapshot:
        """Ask the service now.

        Raises:
            ServiceError, UnreachableError: it did not answer.
        """
        with self._ledger.looking:
            refresh(self._ledger)
            self._after_refresh()
        self._ledger.changed()
        self._wake()
        return self.snapshot()

    # --- submission --------------------------------------------------------------------------------------------

    def submit(
        self,
        primitive: Any,
        pubs: Iterable[Any],
        partitions: str | int | Sequence[Partition] = "auto",
        *,
        label: str | None = None,
        key: str | None = None,
        resend: bool = True,
        **run_options: Any,
    ) -> Run:
        """Send PUBs in partitions, one job each; returns at once, with all partitions visible.

        With a `key` the same call is the same submission, however often and in whichever kernel it is made: a cell
        that is run again gives the run that is there and pays once. Partitions that an earlier kernel took with it
        unsent are sent by the call that gives their key and PUBs again.

        Args:
            primitive: a Sampler, Estimator, Executor or NoiseLearnerV3 made for this workload or for its backend.
            pubs: what its `run` takes: PUBs (for an Executor: one QuantumProgram a partition).
            partitions: `"auto"`, a number of jobs, or Partitions from `qmode.partition(…)`.
            label: a name for the run, shown wherever its jobs are; at most 30 characters, kept in a job tag.
            key: your own name for this work, unique in your account. Other work needs another key.
            resend: False: a partition whose answer was lost, and that no listing shows, is held for you to decide
                (`resubmit`) instead of being sent again.
            run_options: `shots` or `precision`, as the primitive's `run` takes them.

        Raises:
            SubmissionError: before anything is sent, saying what is wrong with which partition.
        """
        if key is None:
            self._check_open()
        elif not 0 < len(key) <= LONGEST_KEY:
            raise SubmissionError(f"key={key!r} has {len(key)} characters: use 1 to {LONGEST_KEY}")
        if label is not None and not 0 < len(label) <= tags.LONGEST_LABEL:
            raise SubmissionError(f"label={label!r} has {len(label)} characters: use 1 to {tags.LONGEST_LABEL}")
        kind = prepare.kind_of(primitive)
        ledger = self._ledger
        prepare.check_primitive(
            primitive, id_=ledger.workload_id, mode=ledger.mode, backend=ledger.backend, instance=ledger.link.instance
        )
        listed = prepare.listed(pubs)
        target_of(backend_of(primitive))  # fetched now, where it can be said that it cannot
        parts = prepare.divide(kind, primitive, listed, partitions, run_options)
        options = options_set(primitive) | run_options
        with self._submits:  # one at a time: the first run of a job controller has its id
            run = self._new_run() if key is None else tags.run_of(key)
            there: frozenset[int] = frozenset()
            if key is not None:
                if (other := _elsewhere(self, run)) is not None:
                    ledger.event("info", f"{key!r} is the run {run} of {other.id}: nothing is sent here")
                    ledger.changed()
                    return Run(other, run)
                there = self._already_there(key, run, parts)
                if len(there) == len(parts):
                    return Run(self, run)
                self._check_open()
            records = prepare.prepare(
                kind,
                primitive,
                listed,
                parts,
                run,
                run_options,
                max_execution_time=self._guards.max_execution_time(),
                group=ledger.group,
                label=label,
                skip=there,
            )
            for r in records:
                r.resend = resend
                if there:
                    r.settle(JobState.UNKNOWN, "an earlier call with its key may have sent it: looking whether it did")
            self._submitting(kind, primitive, records)
            with Uninterrupted():  # in the ledger and in the queue, or in neither
                with ledger.lock:
                    self._check_open()  # preparing may have taken a while
                    ledger.add(records, run, label)
                    self._options[run] = options
                self._send(records, looked_for_afterwards=key is not None)
        ledger.changed()
        return Run(self, run, tuple(r.row for r in records))

    def _already_there(self, key: str, run: str, parts: Sequence[Partition]) -> frozenset[int]:
        """The partitions of a caller's own run that this kernel or the service knows.

        Raises:
            SubmissionError: the key was used for other work.
        """
        ledger = self._ledger
        if run not in ledger.runs:
            jobs = patiently(pages, ledger.link, tags=[tags.run_tag(run)])
            for home in dict.fromkeys(j.session_id for j in jobs if j.session_id is not None):
                ledger.include(home)
            merge(ledger, jobs)
        rows = ledger.latest(run)
        for i, record in rows.items():
            of = record.key.of if record.key else 0
            pieces = None if record.partition is None else record.partition.pieces
            if of != len(parts) or pieces not in (None, (), parts[i].pieces):
                raise SubmissionError(
                    f"key={key!r} was used for other work, in {of} partitions (partition {i + 1} has the PUBs "
                    f"{record.partition.label if record.partition else '?'}): use another key for this one"
                )
        return frozenset(rows)

    def before_sending(
        self,
        primitive: Any,
        pubs: Iterable[Any],
        partitions: str | int | Sequence[Partition] = "auto",
        *,
        dry_run: bool = False,
        **run_options: Any,
    ) -> Preflight:
        """The card to read before `submit` with the same arguments; nothing is sent, except for a dry run.

        It shows the instance and whether it is paid, the backend's state, what is left of the allowance, the expected
        bill in this mode, and with `dry_run` the service's own estimate of the largest job.

        Raises:
            ValueError: what is wrong with which PUB or option.
        """
        parts: Any = partitions
        return before_sending(primitive, pubs, parts, mode=self._ledger.mode, dry_run=dry_run, **run_options)

    def _submitting(self, kind: Kind, primitive: Any, records: list[Record]) -> None:
        """What a mode remarks on jobs about to be sent."""

    def _new_run(self) -> str:
        return tags.new_run()

    def _check_open(self) -> None:
        ledger = self._ledger
        self._check_process(SubmissionError)
        if ledger.read_only:
            raise SubmissionError(ledger.read_only)
        if self._forgotten:
            raise SubmissionError(f"this controller was told to forget {self.id}: attach({self.id!r}) makes a new one")
        if self._guards.stopped:
            raise SubmissionError(f"no further submissions: {self._guards.stopped}")
        if ledger.closed:
            raise SubmissionError(
                f"the {ledger.mode} {ledger.workload_id} is closed and never reopens: open a new one, "
                "or resubmit() jobs of this one, which opens a new one by itself"
            )

    def _send(self, records: Iterable[Record], *, looked_for_afterwards: bool = False) -> None:
        """Queue attempts that are in the ledger. The caller tells observers, and is not to be interrupted here.

        `looked_for_afterwards`: another kernel may have sent them: should the service show a second job later, it is
        cancelled and reported.
        """
        attempts = [
            PartitionAttempt(
                self._ledger,
                r,
                stopped=lambda: self._guards.stopped,
                wake=self._wake,
                held_back=lambda: self._guards.held,
            )
            for r in records
        ]
        for attempt in attempts:
            attempt.sent_again = looked_for_afterwards
        self._runtime.submitter.add(attempts)
        self._wake()

    # --- ending and redoing ------------------------------------------------------------------------------------

    def cancel(self, job: Any) -> str:
        """Cancel one job (its id, its row key, or the job object); says what the service answered."""
        return next(iter(self._cancel([self._find(job)]).values()))

    def cancel_remaining(self) -> dict[str, str]:
        """Cancel what has not started, and drop what is not sent; by row, what came of it."""
        return self._cancel(actions.remaining(self._ledger))

    def cancel_all(self) -> dict[str, str]:
        """Cancel whatever has not ended. Running jobs bill what they used until then."""
        return self._cancel(actions.unfinished(self._ledger))

    def _cancel(self, records: Iterable[Record]) -> dict[str, str]:
        self._check_writable()
        answers = actions.cancel(self._ledger, records)
        self._runtime.submitter.nudge()
        self._wake()
        return answers

    def _check_process(self, kind: type[QmodeError]) -> None:
        if os.getpid() != self._process:
            raise kind(
                f"{self.id} is controlled by the process that this one was forked from: attach({self.id!r}, service) "
                "with a service of your own"
            )

    def _check_writable(self) -> None:
        self._check_process(QmodeError)
        if self._ledger.read_only:
            raise QmodeError(self._ledger.read_only)

    def close(self) -> str:
        """No further jobs; queued ones still run. What still waits to be sent is sent first.

        An interrupt drops what waits to be sent, and the workload is then closed on the watcher's thread: left open, a
        session would go on billing.
        """
        try:
            self._drain()
            return self._close()
        except KeyboardInterrupt:
            self._guards.close()
            self._wake()
            raise

    def _close(self) -> str:
        return "a run in job mode needs no closing"

    def _drain(self) -> None:
        """Wait until nothing waits to be sent; an interrupt says what was not."""
        ledger = self._ledger

        def unsent() -> list[Record]:
            return actions.unsent(ledger)

        if (self._runtime.here or self._ledger.telling) and unsent():
            raise QmodeError(
                f"{len(unsent())} partitions wait to be sent, which a callback cannot wait for: close from another "
                "thread, or cancel_remaining() first"
            )
        try:
            ledger.wait_for(lambda: not unsent(), None)
        except KeyboardInterrupt:
            left = unsent()
            if left:
                rows = ", ".join(r.row for r in left)
                ledger.event("warning", f"interrupted while closing: {len(left)} partitions are not sent: {rows}")
            actions.take_back(ledger, left)
            raise

    def resubmit(self, job: Any) -> Run:
        """Run one job's work again, from the service's stored raw inputs, with the same options, tags and cost limit.

        Into this workload, or where it is closed into a new one of the same mode, which this controller then watches.

        Raises:
            QmodeError: the job has not ended, is private, or its inputs are gone.
        """
        self._look_around()
        return self._resubmit(lambda: [self._find(job)])[0]

    def resubmit_failed(self) -> list[Run]:
        """Resubmit every failed or refused partition; an empty list when there is none."""
        self._look_around()
        return self._resubmit(lambda: actions.failed(self._ledger))

    def _look_around(self) -> None:
        """Another kernel, or another user, may have resubmitted it already: see that before it costs anything."""
        self._check_writable()
        with contextlib.suppress(ServiceError, UnreachableError):
            refresh(self._ledger)

    def _resubmit(self, choose: Callable[[], list[Record]], *, patient: bool = True) -> list[Run]:
        """One at a time: a click, a cell and the retry policy never run the same work twice, nor open two workloads.

        Not `patient`: an empty list when somebody else is at it (the watcher must not wait for a user's thread).
        """
        self._check_writable()
        if not self._redoing.acquire(blocking=patient):
            return []
        try:
            chosen = choose()
            if not chosen:
                return []
            if self._guards.stopped:
                raise QmodeError(f"nothing is resubmitted: {self._guards.stopped}")
            payloads = actions.payloads(self._ledger, chosen, limit=self._guards.max_execution_time())
            actions.mention_calibration(self._ledger, chosen)
            if self._ledger.closed:
                self._continue()
                self._closing_again = not patient  # nobody asked for a further workload: it is closed once all is sent
            with Uninterrupted():  # in the ledger and in the queue, or in neither
                fresh = actions.next_attempts(self._ledger, chosen, payloads, self._adoption.follows)
                self._send(fresh)
            for record in fresh:
                self._adoption.reopen(record.key.run if record.key else "")
            self._ledger.changed()
            rows: dict[str, list[str]] = {}
            for record in fresh:
                rows.setdefault(record.key.run if record.key else "", []).append(record.row)
            return [Run(self, run, tuple(sent)) for run, sent in rows.items()]
        finally:
            self._redoing.release()

    def _continue(self) -> None:
        """Open a new workload of the same mode that continues this one; job mode needs none."""

    # --- results -----------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, run: str | None = None, progress: bool = False) -> bool:
        """Until every job has ended (of one run, or of all); False when the time (seconds) ran out first.

        Of a batch or session this counts jobs that others submit, so the service is asked at least once.
        An interrupt ends the waiting and cancels nothing.
        """
        ledger = self._ledger
        here = self._runtime.here or ledger.telling
        look = -1 if run is not None or here else ledger.look

        def chosen() -> list[Record]:
            return [r for r in ledger.current() if run is None or (r.key is not None and r.key.run == run)]

        def ended() -> bool:
            return self._ended(run) and (look < 0 or ledger.looked_after(look))

        if not ended():
            self._refuse_waiting()
        self._wake()
        if not progress:
            return ledger.wait_for(ended, timeout)
        from tqdm.auto import tqdm

        with tqdm(total=len(chosen()), unit="job", desc=f"{ledger.mode} {ledger.id[:8]}") as bar:

            def show(_: WorkloadSnapshot) -> None:
                bar.total = len(chosen())
                bar.n = sum(r.state.final for r in chosen())
                bar.refresh()

            stop = ledger.observe(show)
            try:
                return ledger.wait_for(ended, timeout)
            finally:
                stop()
                show(self.snapshot())

    def _ended(self, run: str | None) -> bool:
        """Every job known here (of one run, or of all) has ended and is not run again."""
        records = [r for r in self._ledger.current() if run is None or (r.key is not None and r.key.run == run)]
        return all(r.over and not self._guards.will_retry(r) for r in records)

    def _refuse_waiting(self) -> None:
        """A callback that waits for what its own thread brings would wait for ever."""
        if self._runtime.here or self._ledger.telling:
            raise QmodeError(
                "a callback or a stop condition cannot wait for the jobs: it runs on a thread that brings the news of "
                "them. Use what it is given, or wait in another thread"
            )

    def result(
        self, timeout: float | None = None, *, run: str | None = None, job: Any = None, progress: bool = False
    ) -> Any:
        """The result of the only run or job; of several, of the one that you name. Waits for it.

        Args:
            timeout: in seconds.
            run: the id of a run, whose partitions are merged in the order of its PUBs.
            job: a job's id, its row key, or the job object. A job that was run again stands for its last attempt.
            progress: show a bar.

        Raises:
            QmodeError: there is none, or there are several and none is named: the error lists them.
            TimeoutError: it did not end within `timeout` seconds.
            IncompleteResultError: some partitions ended without a result; it says why for each.
        """
        return self._result(self._choose(run, job, timeout), timeout, progress=progress)

    def results(self, timeout: float | None = None, *, partial: bool = False) -> dict[str, Any]:
        """All results, by the id of the run, or of the job where your own code submitted it. Waits for them.

        Args:
            timeout: in seconds.
            partial: leave out what has no result, and do not wait.

        Raises:
            TimeoutError: not all ended within `timeout` seconds.
            IncompleteResultError: some ended without a result; it says why for each.
        """
        if not partial and not self.wait(timeout):
            raise TimeoutError(f"not all jobs have ended after {timeout} s; nothing was cancelled")
        found: dict[str, Any] = {}
        missing: dict[int, str] = {}
        for i, (id_, work) in enumerate(self._ledger.works().items()):
            try:
                found[id_] = self._result(work, 0)
            except (QmodeError, TimeoutError) as error:
                missing[i] = f"{id_}: {error}"
        if missing and not partial:
            raise IncompleteResultError(
                f"{len(missing)} of {len(missing) + len(found)} have no result: {'; '.join(missing.values())}. "
                "results(partial=True) gives the others",
                missing,
            )
        return found

    def partial_result(self, *, run: str | None = None) -> Any:
        """What there is now of the result of the only run, or the one you name, and what is missing; does not wait."""
        work = self._choose(run, None, 0)
        return self._results.run(work, partial=True) if isinstance(work, str) else self._results.of(work)

    def _result(self, work: Record | str, timeout: float | None, *, progress: bool = False) -> Any:
        if isinstance(work, str):
            if not self.wait(timeout, run=work, progress=progress):
                left = [r for r in self._ledger.latest(work).values() if not r.state.final]
                raise TimeoutError(f"{len(left)} partitions have not ended after {timeout} s; nothing was cancelled")
            return self._results.run(work)
        self._wake()
        if not work.state.final:
            self._refuse_waiting()
        if not self._ledger.wait_for(lambda: work.state.final and not self._guards.will_retry(work), timeout):
            raise TimeoutError(f"{work.name} has not ended after {timeout} s; nothing was cancelled")
        following = self._follow(work)
        return self._results.of(work) if following is work else self._result(following, timeout)

    def _follow(self, record: Record) -> Record | str:
        """What stands for a job now: the run in which it was done again, its own, or the last attempt at its part."""
        if record.again is not None:
            return record.again
        if record.key is None:
            return record
        return self._ledger.latest(record.key.run)[record.key.partition] if record.cut else record.key.run

    def _choose(self, run: str | None, job: Any, timeout: float | None) -> Record | str:
        """A run's id, or a job's record."""
        if run is not None and job is not None:
            raise QmodeError("run= and job= are both given: name one")
        if job is not None:
            return self._follow(self._find(job))
        if run is not None:
            if run not in self._ledger.runs:
                raise QmodeError(f"no run {run!r} here; there are {', '.join(self._ledger.runs) or 'none'}")
            return run
        look = self._ledger.look
        if not (self._runtime.here or self._ledger.telling or timeout == 0):
            self._wake()
            self._ledger.wait_for(lambda: self._ledger.looked_after(look), timeout)
        works = self._ledger.works()
        if len(works) == 1:
            return next(iter(works.values()))
        if not works:
            raise QmodeError(f"nothing was submitted into this {self._ledger.mode} yet: submit(primitive, pubs) first")
        listed = [
            f"run={id_!r}" + (f" ({label})" if (label := self._ledger.label(id_)) else "")
            if work == id_
            else f"job={id_!r}"
            for id_, work in works.items()
        ]
        more = f", and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
        raise QmodeError(
            f"there are {len(works)} results here: name one, {', '.join(listed[-MOST_LISTED:])}{more}; results() gives "
            "all of them"
        )

    def drop_results(self) -> None:
        """Let the decoded results go from memory; they are fetched again when they are asked for.

        A private job's result can be read once: it is lost with it.
        """
        self._results.drop()

    # --- conditions and caps -----------------------------------------------------------------------------------

    def _set_limits(self, usage_cap: float | None, retries: int) -> None:
        if usage_cap is not None:
            self._guards.cap(usage_cap)
        if retries:
            self._guards.retry(retries)

    @property
    def usage_cap(self) -> float | None:
        """QPU seconds after which nothing more is sent and the queue is cancelled; None without a cap.

        Set it higher to go on: a workload that the cap has closed stays closed, but its jobs can be resubmitted, which
        opens a new one. Dies with the kernel.
        """
        return self._ledger.cap

    @usage_cap.setter
    def usage_cap(self, seconds: float) -> None:
        self._guards.cap(seconds)
        self._ledger.changed()
        self._wake()

    def stop_when(self, predicate: Callable[[Any, JobSnapshot], bool]) -> None:
        """Cancel the remaining jobs once `predicate(result, job)` is true of a finished one; never reads private ones.

        It runs on the watcher's thread, so also while a cell blocks, and dies with the kernel.
        """
        self._guards.stop_when(predicate, self._results)
        self._wake()

    # --- screens -----------------------------------------------------------------------------------------------

    def _act(self, what: str) -> None:
        """What a guard does."""
        if what == "cancel_remaining":
            self._cancel(actions.remaining(self._ledger))
        elif what == "cancel_stopped":
            self._cancel(self._guards.to_cancel())
        elif what == "close":
            self._close()
        elif what == "retry":
            self._retry()

    def _retry(self) -> None:
        """Run again what the policy says; what cannot be run again is said once and left to the user."""
        chosen = self._guards.to_retry()
        for group in [chosen, *([r] for r in chosen)]:
            left = [r for r in group if not r.superseded]
            try:
                self._resubmit(lambda left=left: left, patient=False)  # type: ignore[misc]
            except (ServiceError, UnreachableError) as error:
                if isinstance(error, UnreachableError) or error.passing:
                    return  # at the next look
                self._give_up(left, error)
            except QmodeError as error:
                self._give_up(left, error)

    def _give_up(self, group: list[Record], error: QmodeError) -> None:
        if len(group) == 1:  # of several, each is tried by itself
            self._guards.give_up(group)
            self._ledger.event("error", f"{group[0].name} is not run again: {error}", group[0].row)

    @property
    def widget(self) -> Any:
        """The live widget, for a layout of your own: `VBox([controller.widget, …])`.

        Raises:
            QmodeError: outside a notebook's kernel.
        """
        found = registry.widget(self) if registry.widget is not None else None
        if found is None:
            raise QmodeError("a widget needs a notebook: this process is not a kernel with a page")
        return found

    def _after_refresh(self) -> None:
        """On the watcher's thread, after each look at the service."""
        cancel_found(self._ledger)
        cancel_duplicates(self._ledger)
        report_doubles(self._ledger)
        self._sweep()
        self._guards.look()
        if self._closing_again and not actions.unsent(self._ledger):
            self._closing_again = False
            self._guards.close()
        self._ledger.set_alarm(self._guards.alarm)

    def _sweep(self) -> None:
        """What is in the ledger and in no queue would wait for ever: whatever lost it, it is queued again."""
        waiting = self._ledger.where(lambda r: r.state is JobState.WAITING and not r.sending and r.waits > SWEPT)
        if waiting:
            queued = self._runtime.submitter.has
            if lost := [r for r in waiting if r.key is not None and r.captured is not None and not queued(r.key.tag)]:
                self._ledger.event("warning", f"{len(lost)} partitions had not been queued for sending: they are now")
                self._send(lost)

    def at_exit(self) -> None:
        """The process ends: nothing to do in job mode."""

    def _wake(self) -> None:
        """Look at the workload now, and keep this controller until nothing is left to learn."""
        if self._forgotten or os.getpid() != self._process:
            return
        registry.keep(self)
        self._runtime.watcher.watch(self._ledger, self._after_refresh, self._settled)

    def _settled(self) -> None:
        registry.release(self)

    def _find(self, job: Any) -> Record:
        """A record by job id, row key, job object or snapshot."""
        if hasattr(job, "job_id"):
            job = job.job_id() if callable(job.job_id) else (job.job_id or job.key)
        if not isinstance(job, str):
            raise QmodeError(f"{job!r} is not a job: pass its id, its key, or the job object")
        found = self._ledger.find(job)
        if found is not None:
            return found
        raise QmodeError(f"no job {job!r} in {self._ledger.mode} {self.id}: see controller.jobs")

    def figure(self, kind: str = "timeline") -> Any:
        """A plotly figure.

        Args:
            kind: what ran when (`"timeline"`), the usage of each partition beside what was expected (`"usage"`), or how
                well the expectation was met, job by job and in the course of time (`"forecast-vs-actual"`).

        `figure.write_html("usage.html")` needs no network, nor does the page. `figure.write_image("usage.png")` needs
        the package kaleido (`pip install "qmode-widgets[export]"`) and an installed Chrome or Chromium; no network.
        """
        from .figures import workload_figure

        return workload_figure(self.snapshot(), kind)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if registry.display is not None:
            shown = registry.display(self)
            if shown is not None:
                return shown
        return {"text/plain": repr(self)}

    def __str__(self) -> str:
        return table(self.snapshot())

    def __repr__(self) -> str:
        shot = self.snapshot()
        done = sum(j.state is JobState.DONE for j in shot.jobs if not j.superseded)
        total = sum(not j.superseded for j in shot.jobs)
        return f"<{type(self).__name__} {self.id} on {shot.backend}: {state_word(shot)}, {done} of {total} jobs done>"


def _elsewhere(controller: Controller, run: str) -> Controller | None:
    """Another controller of this kernel that has the run."""
    others = (c for c in registry.all() if c is not controller and run in c._ledger.runs)
    return next(others, None)


class Run:
    """The jobs of one `submit` call.

    `sent` holds the keys of the jobs that were sent by the call that returned this handle.
    """

    def __init__(self, controller: Controller, id_: str, sent: tuple[str, ...] = ()) -> None:
        self._controller = controller
        self.id = id_
        self.sent = sent

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """The last attempt at each partition, in PUB order."""
        rows = self._controller._ledger.latest(self.id)
        return tuple(rows[i].snapshot() for i in sorted(rows))

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> bool:
        """Until every partition has ended; False when the time (seconds) ran out first."""
        return self._controller.wait(timeout, run=self.id, progress=progress)

    def result(self, timeout: float | None = None) -> Any:
        """The merged result in PUB order; waits for it."""
        return self._controller.result(timeout, run=self.id)

    def partial_result(self) -> Any:
        """What there is of it, and what is missing."""
        return self._controller.partial_result(run=self.id)

    def on_done(self, callback: Callable[[JobSnapshot], object]) -> Callable[[], None]:
        """Call back once for each of its jobs that has ended and is not run again; returns what ends it."""
        return self._controller.on_done(callback, run=self.id)

    def __await__(self) -> Generator[Any, None, Any]:
        """`await run` is its merged result; cancelling the await cancels no job."""
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def look(_: WorkloadSnapshot) -> None:
            if self._controller._ended(self.id):
                loop.call_soon_threadsafe(ended.set)

        ledger = self._controller._ledger
        with ledger.waiting():
            stop = ledger.observe(look, now=True)
            self._controller._wake()
            try:
                await ended.wait()
            finally:
                stop()
        return await asyncio.to_thread(self.result)

    @property
    def label(self) -> str | None:
        """The name it was given."""
        return self._controller._ledger.label(self.id)

    @property
    def plan(self) -> PlanContent | None:
        """The plan it was submitted by, if `plan.run()` did it or it was set here; reports show it."""
        return self._controller._plans.get(self.id)

    @plan.setter
    def plan(self, plan: PlanContent) -> None:
        self._controller._plans[self.id] = plan

    @property
    def usage(self) -> Usage:
        """QPU usage of the run's jobs in seconds: reported, expected, and which."""
        return run_usage(self._controller._ledger, self.id)

    def provenance(self) -> Provenance:
        """Where its result comes from: jobs, options, plan, bill, calibration, versions. Asks the service for some."""
        return provenance(
            self._controller._ledger, self.id, options=self._controller._options.get(self.id), plan=self.plan
        )

    def report(self, path: str | Path) -> Path:
        """Write a report of the run as one HTML file that needs nothing else; it holds no token.

        Raises:
            OSError: the file cannot be written.
        """
        return report(path, self.provenance())

    def save(self, path: str | Path) -> Path:
        """Write the results there are, and what is known of the run, into one file: `qmode_widgets.load(path)`.

        It needs neither the service nor an account to be read. A file of that name is replaced.

        Raises:
            QmodeError: a result cannot be fetched; nothing is written.
            OSError: the file cannot be written.
        """
        return save(path, self.provenance(), self._controller._ledger, self._controller._results)

    def __repr__(self) -> str:
        done = sum(j.state is JobState.DONE for j in self.jobs)
        named = f" {self.label!r}" if self.label else ""
        return f"<Run {self.id}{named}: {done} of {len(self.jobs)} partitions done>"

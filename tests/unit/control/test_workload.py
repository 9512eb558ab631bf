"""Work under a caller's key, which another kernel may be submitting too: the first partition goes alone."""

from __future__ import annotations

import json

import pytest

from qmode_widgets.control.engine.workload import Workload
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.errors import SubmissionError
from qmode_widgets.ibm.client import Captured
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from qmode_widgets.portal import clock, portal
from tests.unit.control.account import T0, Account, at, refuse

RUN = "abcdef12"


class Taking(Account):
    """Takes submissions; remembers what it was asked for, in order."""

    def __init__(self):
        super().__init__()
        self.made = []

    async def post_job(self, body):
        await self._asked("post_job")
        tags = json.loads(body)["tags"]
        id_ = f"ours{len(self.made)}"
        self.made.append(next(t for t in tags if t.count(".") == 2))
        self.add(id_, tags=tags, created=at(100 + len(self.made)))
        return id_


class Desk:
    def __init__(self, parts=3):
        self.account = Taking()
        self.ledger = Ledger(self.account, "s", "batch", "b")
        payload = Captured("sampler", "b", None, (), False, {"params": {}})
        keys = [AttemptKey(RUN, i, parts) for i in range(parts)]
        self.tags = [key.tag for key in keys]
        self.records = [Record(JobState.WAITING, key=key, captured=payload) for key in keys]
        self.workload = portal().call(Workload, self.ledger)

    def submit(self, *, alone=True):
        portal().call(lambda: self.workload.submit_keyed(self.records, RUN, None, alone=alone))

    def until(self, ready):
        portal().call(self.workload.news.until, ready, timeout=60, waits=True)


@pytest.fixture
def desk():
    made = Desk()
    portal().call(clock.run, 100.0)
    yield made
    portal().call(made.workload.forget)
    portal().call(clock.run, 1.0)


def test_the_first_partition_goes_alone_and_its_run_is_looked_for_before_the_others_follow(desk):
    desk.submit()
    desk.until(lambda: all(r.job_id for r in desk.records))
    assert desk.account.made == desk.tags
    asked = [a for a in desk.account.asked if a[0] == "post_job" or a[1:] == ((f"qmode:{RUN}",), None, 0)]
    assert [a[0] for a in asked] == ["post_job", "jobs", "jobs", "jobs", "post_job", "post_job"]


def test_of_two_kernels_the_older_first_job_stays_and_only_its_kernel_sends_the_others(desk):
    theirs = [f"qmode:{RUN}", desk.tags[0]]
    desk.account.spoil["post_job"] = lambda: desk.account.add("theirs", tags=theirs, created=T0)
    desk.submit()
    desk.until(lambda: desk.account.cancelled)
    assert desk.account.cancelled == ["ours0"]
    for i in (1, 2):  # the other kernel goes on
        desk.account.add(f"theirs{i}", tags=[f"qmode:{RUN}", desk.tags[i]])
    desk.until(lambda: all(r.job_id for r in desk.records[1:]))
    assert {r.job_id for r in desk.records[1:]} == {"theirs1", "theirs2"}
    assert desk.account.made == desk.tags[:1]


def test_where_the_first_is_refused_the_others_are_not_sent(desk):
    desk.account.spoil["post_job"] = refuse(400)
    desk.submit()
    desk.until(lambda: all(r.over for r in desk.records))
    assert [r.state for r in desk.records] == [JobState.REFUSED, JobState.DROPPED, JobState.DROPPED]
    assert "spoiled" in desk.records[1].note


def test_nothing_is_submitted_once_it_is_closed_and_nothing_of_it_stays_in_the_ledger(desk):
    portal().call(desk.ledger.refuse_jobs)
    with pytest.raises(SubmissionError, match="never reopens"):
        desk.submit()
    assert desk.ledger.records == {}
    assert desk.account.made == []


def test_what_a_guard_asks_for_is_begun_once_while_it_is_under_way(desk):
    """A closing that hangs: the guards look again and again meanwhile, and go on to everything else."""

    class Mode:
        word, max_time = "batch", None

        def continue_in(self, id_): ...

        def note_closed(self): ...

    desk.workload.mode = Mode()
    portal().call(lambda: [desk.workload.act("close") for _ in range(3)])
    desk.until(lambda: desk.ledger.closed)
    assert desk.account.closed == ["s"]

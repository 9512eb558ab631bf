"""Properties of the scheduler that hold for any history of commands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qmode_widgets.model.scheduler import Load, Rules, Scheduler, Stage, What
from qmode_widgets.model.snapshot import WorkloadState
from tests.examples import examples

HORIZON = 2000.0
# Whole and half seconds, so that commands and timers often meet at one moment: where order matters most.
TIMES = st.integers(0, 400).map(lambda n: n / 2)
DURATIONS = st.one_of(st.just(0.0), st.integers(0, 40).map(lambda n: n / 2))
RULES = st.builds(
    Rules,
    lanes=st.integers(1, 5),
    queue_wait=st.sampled_from([0.0, 3.0]),
    max_ttl=st.sampled_from([20.0, 100.0, 1e6, math.inf]),
    interactive_ttl=st.sampled_from([0.0, 1.0, 10.0, 60.0]),
    active_ttl=st.sampled_from([None, 15.0, 50.0]),
    empty_close=st.sampled_from([None, 30.0]),
    calibration_every=st.sampled_from([None, 25.0]),
    calibration_seconds=st.just(5.0),
    other_users=st.sampled_from([None, Load(every=9.0, qpu=4.0, seed=7)]),
)


@dataclass(frozen=True)
class Act:
    at: float
    what: str
    a: int
    b: int
    prep: float
    qpu: float


ACTS = st.lists(
    st.builds(
        Act,
        at=TIMES,
        what=st.sampled_from(["open", *["submit"] * 4, "held", "cancel", "fail", "close", "stop", "pause", "resume"]),
        a=st.integers(0, 3),
        b=st.integers(0, 11),
        prep=DURATIONS,
        qpu=DURATIONS,
    ),
    min_size=1,
    max_size=40,
).map(lambda acts: sorted(acts, key=lambda act: act.at))


# Too rare to be drawn: a session that goes idle and through the queue again.
TWICE = (
    Rules(interactive_ttl=1.0, max_ttl=100.0),
    [Act(0.0, "open", 1, 0, 0.0, 0.0), *(Act(at, "submit", 1, 0, 1.0, 2.0) for at in (0.0, 20.0))],
)


def apply(s: Scheduler, act: Act, names: dict[str, int]) -> None:
    """Give one command; the ids follow from the order of the commands alone."""
    w = f"w{act.a}"
    jobs = list(s.jobs)
    job = jobs[act.b % len(jobs)] if jobs else None
    if act.what == "open" and w not in s.workloads:
        s.open(act.at, w, "session" if act.a % 2 else "batch")
    elif act.what in ("submit", "held"):
        n = names["jobs"] = names.get("jobs", 0) + 1
        into = w if w in s.workloads else None
        limit = [None, 2.0, 6.0][act.b % 3]
        fails = [None, None, "user", "system"][act.b % 4]
        s.submit(act.at, f"j{n}", into, prep=act.prep, qpu=act.qpu, limit=limit, fails=fails, held=act.what == "held")
    elif act.what == "cancel" and job:
        s.cancel(act.at, job)
    elif act.what == "fail" and job:
        s.fail(act.at, job, "because", system=act.b % 2 == 0)
    elif act.what == "close" and w in s.workloads:
        s.close(act.at, w)
    elif act.what == "stop" and w in s.workloads:
        s.cancel_workload(act.at, w)
    elif act.what == "pause":
        s.pause(act.at, queue=act.b % 2 == 0)
    elif act.what == "resume":
        s.resume(act.at)


def finish(s: Scheduler, at: float) -> None:
    s.resume(at)
    for job in list(s.jobs):
        s.ready(at, job)


def history(rules: Rules, acts: list[Act], cuts: list[float]):
    """The same commands, with `advance` cut at `cuts` as well; no cut gives all commands before the first advance."""
    s, names, happened = Scheduler(rules), {}, []
    steps = sorted([(act.at, 1, act) for act in acts] + [(t, 0, None) for t in cuts], key=lambda step: step[:2])
    for at, _, act in steps:
        if act is None:
            if at >= s.now:
                happened += s.advance(at)
        else:
            apply(s, act, names)
    finish(s, 500.0)
    happened += s.advance(HORIZON)
    return s, happened


@examples(50)
@given(RULES, ACTS)
@example(*TWICE)
def test_every_history_keeps_the_rules(rules, acts):
    s, happened = history(rules, acts, [])

    assert [h.time for h in happened] == sorted(h.time for h in happened)
    on_qpu, in_lanes, closed, final = set(), set(), set(), set()
    active_session = None
    for h in happened:
        if h.what is What.ON_QPU:
            assert not on_qpu, "two jobs on the QPU"
            on_qpu.add(h.id)
            if active_session:
                assert s.jobs[h.id].workload is s.workloads[active_session], "a stranger inside a session"
        elif h.what is What.CALIBRATING:
            assert not on_qpu
            assert active_session is None
            on_qpu.add("")
        elif h.what is What.CALIBRATED:
            on_qpu.discard("")
        elif h.what is What.PREPARING:
            in_lanes.add(h.id)
            assert len(in_lanes) <= rules.lanes
        elif h.what in (What.COMPLETED, What.CANCELLED, What.FAILED):
            assert h.id not in final, "two ends"
            final.add(h.id)
            on_qpu.discard(h.id)
            in_lanes.discard(h.id)
        elif h.what is What.ACTIVATED:
            assert h.id not in closed, "a closed workload came back"
            if s.workloads[h.id].mode == "session":
                assert active_session is None
                assert not in_lanes
                active_session = h.id
        elif h.what in (What.INACTIVATED, What.CLOSED):
            if h.id == active_session:
                active_session = None
            if h.what is What.CLOSED:
                assert h.id not in closed
                closed.add(h.id)

    for job in s.jobs.values():
        if job.stage.final:
            assert job.id in final
            times = [t for t in (job.queued, job.prep_start, job.prep_end, job.qpu_start, job.qpu_end) if t is not None]
            assert job.stage is Stage.CANCELLED or times == sorted(times)
            assert 0 <= job.billed <= job.bill + 1e-9
            if job.limit is not None:
                assert job.billed <= job.limit
    for w in s.workloads.values():
        jobs = [j for j in s.jobs.values() if j.workload is w]
        if w.mode == "batch":
            assert w.usage(s.now) == pytest.approx(sum(j.usage(s.now) for j in jobs))
        else:
            assert w.usage(s.now) == pytest.approx(w.active_seconds(s.now), abs=1e-6)
        assert w.unfinished == sum(not j.stage.final for j in jobs)
        assert 0 <= w.idle_seconds(s.now) <= w.active_seconds(s.now) + 1e-9
        assert [t for stretch in w.stretches for t in stretch] == sorted(t for stretch in w.stretches for t in stretch)
        if w.state is WorkloadState.CLOSED:
            assert w.unfinished == 0
            assert [j.id for j in jobs if j.why != "closed" and (j.ended is None or j.ended > w.closed)] == []


# What the histories must contain for the rules above to say anything: some events of a history, by what they prove.
RICH = {
    "a job that its limit cut off": lambda s, h: h.what is What.CANCELLED and h.why == "limit",
    "a calibration": lambda s, h: h.what is What.CALIBRATED,
    "a batch that its max TTL closed": lambda s, h: h.why == "max_ttl" and h.id in ("w0", "w2"),
    "a batch that went idle": lambda s, h: h.what is What.INACTIVATED and h.id in ("w0", "w2"),
    "a session that was active twice": lambda s, h: h.id in ("w1", "w3") and len(s.workloads[h.id].stretches) > 1,
    "another user's job": lambda s, h: h.what is What.ON_QPU and h.id.startswith("other"),
}


def test_the_histories_that_are_tried_contain_what_the_rules_are_about():
    seen = set()

    @settings(max_examples=400, derandomize=True, database=None)
    @given(RULES, ACTS)
    @example(*TWICE)
    def look(rules, acts):
        s, happened = history(rules, acts, [])
        seen.update(what for what, found in RICH.items() if any(found(s, h) for h in happened))

    look()
    assert seen == set(RICH)


@examples(50)
@given(RULES, ACTS, st.lists(TIMES, max_size=12))
@example(*TWICE, [1.0, 10.0, 21.0])
def test_cutting_advance_gives_the_same_history(rules, acts, cuts):
    whole, happened = history(rules, acts, [])
    _, same = history(rules, acts, [])
    pieces, in_pieces = history(rules, acts, cuts)

    assert happened == same == in_pieces
    assert [j.billed for j in whole.jobs.values()] == [j.billed for j in pieces.jobs.values()]
    assert [w.stretches for w in whole.workloads.values()] == [w.stretches for w in pieces.workloads.values()]


@examples(80)
@given(RULES, ACTS)
def test_everything_ends_without_strangers(rules, acts):
    if rules.other_users or rules.calibration_every:
        rules = Rules(lanes=rules.lanes, queue_wait=rules.queue_wait, interactive_ttl=rules.interactive_ttl)
    s, _ = history(rules, acts, [])
    s.advance(math.inf)
    assert [job.id for job in s.jobs.values() if not job.stage.final] == []
    assert s.next_event_time() is None


@given(RULES, ACTS)
@examples(60)
def test_nothing_happens_before_the_next_event_time(rules, acts):
    s, names = Scheduler(rules), {}
    for act in acts:
        apply(s, act, names)
    for _ in range(60):
        due = s.next_event_time()
        if due is None or due > 300:
            break
        if due > s.now:
            assert s.advance(math.nextafter(due, 0)) == []
        s.advance(due)

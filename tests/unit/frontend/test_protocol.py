"""The messages, against what the page expects: fields and words of protocol.ts, and samples that vitest reads too."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.frontend import protocol, saved
from qmode_widgets.model.command import Ack, Action, Command
from qmode_widgets.model.snapshot import (
    Event,
    JobSnapshot,
    JobState,
    Limit,
    Mode,
    Ttl,
    Usage,
    WorkloadSnapshot,
    WorkloadState,
)

JS = Path(__file__).parents[3] / "js"
MIRROR = (JS / "core" / "protocol.ts").read_text(encoding="utf8")
GOLDEN = JS / "test" / "golden.json"

BEFORE = WorkloadSnapshot(
    id="d2f0", mode="batch", backend="ibm_fez", state=WorkloadState.ACTIVE, accepting_jobs=True,
    jobs=(
        JobSnapshot("r:0.0", JobState.DONE, job_id="j0", partition=0, of=2, spans=((1.0, 2.5),), tags=("mine",),
                    usage=Usage(8.2, "final", 8.0, "2 + …")),
        JobSnapshot("r:1.0", JobState.QUEUED, job_id="j1", partition=1, of=2),
    ),
    ttl=Ttl(max_ttl=28800, max_deadline=1e9), events=(Event(1, 5.0, "info", "begun"),),
    limits=(Limit("usage cap", "600 s", "kernel"),), seen_at=10.0,
)  # fmt: skip
AFTER = replace(
    BEFORE,
    accepting_jobs=False,
    jobs=(
        BEFORE.jobs[0],
        replace(BEFORE.jobs[1], state=JobState.FAILED, reason="transient", reason_code=9707, superseded=True),
        JobSnapshot("r:1.1", JobState.WAITING, partition=1, of=2, attempt=1),
    ),
    events=(*BEFORE.events, Event(2, 6.0, "warning", "partition 2 failed", "r:1.0")),
)


MANY = replace(
    BEFORE,
    jobs=tuple(
        JobSnapshot(
            f"r:{n}.0", JobState.FAILED if n % 40 == 0 else JobState.DONE if n < 60 else JobState.QUEUED,
            job_id=f"j{n}", run="r", partition=n, of=80, number=n + 1,
            usage=Usage(round(0.1 * n, 1), "final") if n < 60 else Usage(),
        )
        for n in range(80)
    ),
)  # fmt: skip


def interface(name: str) -> dict[str, str]:
    body = re.search(rf"export interface {name} \{{(.*?)\n\}}", MIRROR, re.DOTALL)
    assert body, f"protocol.ts has no interface {name}"
    return dict(re.findall(r"^  (\w+)\??: (.*);$", body[1], re.MULTILINE))


def words(name: str) -> set[str]:
    union = re.search(rf"export type {name} =(.*?);", MIRROR, re.DOTALL)
    assert union, f"protocol.ts has no type {name}"
    return set(re.findall(r"'(\w+)'", union[1]))


@pytest.mark.parametrize("kind", [WorkloadSnapshot, JobSnapshot, Usage, Ttl, Event, Limit])
def test_the_mirror_has_the_fields_of(kind: type) -> None:
    assert list(interface(kind.__name__)) == [f.name for f in fields(kind)]


@pytest.mark.parametrize("kind", [WorkloadSnapshot, JobSnapshot, Usage, Ttl, Event, Limit])
def test_the_mirror_knows_what_can_be_unknown_in(kind: type) -> None:
    ours = {f.name for f in fields(kind) if "None" in str(f.type)}
    assert {name for name, type_ in interface(kind.__name__).items() if "null" in type_} == ours


@pytest.mark.parametrize("enum", [JobState, WorkloadState, Action])
def test_the_mirror_knows_the_words_of(enum: type[StrEnum]) -> None:
    assert words(enum.__name__) == set(enum)


def test_the_mirror_speaks_our_number_and_modes() -> None:
    assert f"export const PROTOCOL = {protocol.PROTOCOL};" in MIRROR
    assert words("Mode") == set(get_args(Mode))


def messages() -> dict[str, Any]:
    return {
        "hello": protocol.hello(version="0.1.0", process="p1", busy=False, workloads=["d2f0"], problem=None),
        "snapshot": protocol.snapshot(BEFORE, seq=1, now=100.0),
        "patch": protocol.patch(BEFORE, AFTER, seq=2, now=101.0),
        "after": protocol.snapshot(AFTER, seq=2, now=101.0),
        "gone": protocol.gone("d2f0"),
        "saved": saved.data(AFTER, "p1") | {"html": saved.as_html(AFTER)},
        "folded": saved.data(MANY, "p1") | {"html": saved.as_html(MANY)},
        "many": protocol.snapshot(MANY, seq=0, now=10.0),
        "ack": protocol.ack(Ack("c1", "failed", "409: the job is final")),
    }


def test_a_document_holds_every_field_and_its_version() -> None:
    """What is left out must not depend on the defaults of the version that reads it."""
    for state in (AFTER, MANY, replace(AFTER, jobs=())):
        found = saved.data(state, "p1")
        assert found["version"] == saved.VERSION
        assert {f.name for f in fields(WorkloadSnapshot)} - {"jobs"} == set(found["state"])
        for job in found["jobs"]:
            assert {f.name for f in fields(JobSnapshot)} == set(found["common"]) | set(job)
        assert {f.name for f in fields(Usage)} == set(found["common"]["usage"])


def test_samples_are_the_ones_the_page_is_tested_with() -> None:
    text = json.dumps(messages(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("QMODE_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf8")
    assert GOLDEN.read_text(encoding="utf8") == text, "run with QMODE_WRITE_GOLDEN=1 and read the difference"


def test_a_patch_says_only_what_changed() -> None:
    patch = protocol.patch(BEFORE, AFTER, seq=2, now=101.0)
    assert patch is not None
    assert patch["set"] == {"accepting_jobs": False}
    assert patch["jobs"]["r:1.0"] == {"state": "failed", "reason": "transient", "reason_code": 9707, "superseded": True}
    assert patch["jobs"]["r:1.1"] == {"key": "r:1.1", "state": "waiting", "partition": 1, "of": 2, "attempt": 1}
    assert set(patch["jobs"]) == {"r:1.0", "r:1.1"}
    assert patch["after"] == [["r:1.1", "r:1.0"]]
    assert "order" not in patch
    assert [e["id"] for e in patch["events"]] == [2]
    assert protocol.patch(AFTER, replace(AFTER), seq=3, now=102.0) is None


def test_a_usage_says_only_what_changed_of_it() -> None:
    more = replace(BEFORE.jobs[0], usage=replace(BEFORE.jobs[0].usage, reported=9.0))
    after = replace(BEFORE, jobs=(more, BEFORE.jobs[1]), usage=Usage(9.0, "running"))
    patch = protocol.patch(BEFORE, after, seq=2, now=1.0)
    assert patch is not None
    assert patch["jobs"] == {"r:0.0": {"usage": {"reported": 9.0}}}
    assert patch["set"] == {"usage": {"reported": 9.0, "status": "running"}}


def test_an_iteration_costs_the_same_whatever_came_before() -> None:
    def length(before: int) -> int:
        jobs = tuple(JobSnapshot(f"r{n:04}:0.0", JobState.DONE, run=f"r{n:04}", partition=0) for n in range(before))
        new = JobSnapshot("next:0.0", JobState.QUEUED, run="next", partition=0)
        old = replace(BEFORE, jobs=jobs)
        return len(json.dumps(protocol.patch(old, replace(old, jobs=(*jobs, new)), seq=2, now=1.0)))

    assert length(900) == length(1)


def test_a_thousand_jobs_that_are_much_alike_stay_small() -> None:
    usage = Usage(8.2, "final", 8.0, "for each job 2 s + 0.00025 s × 24,000 executions")
    jobs = tuple(
        JobSnapshot(
            f"a1b2c3d4:{n}.0", JobState.DONE if n < 700 else JobState.QUEUED, job_id=f"d2f1c3kq{n:04}08o9b123",
            run="a1b2c3d4", partition=n, of=1000, pubs=f"{2 * n}–{2 * n + 1}", service_status="Completed",
            created=1e9 + n / 3, running=1e9 + n, finished=1e9 + n + 12.5, usage=usage, program="sampler",
            spans=((1e9 + n + 2, 1e9 + n + 10.2),),
        )
        for n in range(1000)
    )  # fmt: skip
    message = protocol.snapshot(replace(BEFORE, jobs=jobs), seq=1, now=1.0)
    assert len(json.dumps(message)) < 260_000
    assert message["common"]["usage"]["formula"] == usage.formula


def test_what_is_not_finite_is_unknown() -> None:
    state = replace(BEFORE, usage=Usage(reported=1.0, estimated=float("inf")), ttl=Ttl(max_ttl=float("nan")))
    text = json.dumps(protocol.snapshot(state, seq=1, now=1.0), allow_nan=False)
    assert "ttl" not in json.loads(text)["state"], "unknown is the default"
    assert json.loads(text)["state"]["usage"] == {"reported": 1.0}


JOBS = st.lists(
    st.builds(
        JobSnapshot,
        key=st.sampled_from("abcdef"), state=st.sampled_from(JobState), note=st.none() | st.text(max_size=3),
        usage=st.builds(Usage, reported=st.none() | st.floats(0, 9)), of=st.none() | st.just(3),
    ),
    max_size=6, unique_by=lambda job: job.key,
).map(tuple)  # fmt: skip


def full(change: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """As changedJob and changedWorkload of protocol.ts do it."""
    return {**base, **change, "usage": {**base["usage"], **change.get("usage", {})}}


BLANK = protocol.encode(JobSnapshot("", JobState.UNKNOWN))


def expanded(message: dict[str, Any]) -> dict[str, Any]:
    """As expand of protocol.ts does it."""
    blank = protocol.encode(WorkloadSnapshot("", "job", ""))
    common = full(message["common"], BLANK)
    return full(message["state"], blank) | {"jobs": [full(job, common) for job in message["jobs"]]}


@given(JOBS)
def test_a_snapshot_holds_the_whole_state(jobs: Any) -> None:
    state = replace(BEFORE, jobs=jobs)
    assert expanded(protocol.snapshot(state, seq=1, now=1.0)) == protocol.encode(state)


@given(JOBS, JOBS, st.sampled_from(WorkloadState))
def test_a_patch_leads_from_one_state_to_the_other(old: Any, new: Any, state: WorkloadState) -> None:
    before, after = replace(BEFORE, jobs=old), replace(BEFORE, jobs=new, state=state)
    patch = protocol.patch(before, after, seq=2, now=1.0)
    got, want = protocol.encode(before), protocol.encode(after)
    if patch is not None:
        got = full(patch["set"], got)
        by_key = {job["key"]: job for job in got["jobs"]}
        merged = {key: full(change, by_key.get(key, BLANK)) for key, change in patch["jobs"].items()}
        keys = [key for key in by_key if key not in patch.get("gone", [])]
        for key, place in patch.get("after", []):
            keys.insert(0 if place is None else keys.index(place) + 1, key)
        by_key |= merged
        got["jobs"] = [by_key[key] for key in patch.get("order", keys)]
    assert got == want


def test_requests_are_read() -> None:
    assert protocol.read({"kind": "attach"}) == "all"
    assert protocol.read({"kind": "attach", "workload": "w"}) == "w"
    request = {"kind": "command", "id": "1", "workload": "w", "action": "cancel", "target": "r:0.0", "new": 1}
    assert protocol.read(request) == Command("1", "w", Action.CANCEL, "r:0.0")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (None, "not NoneType"),
        ({"kind": "dance"}, "unknown request 'dance'"),
        ({"kind": "command", "id": "1", "workload": "w", "action": "explode"}, "unknown action 'explode'"),
        ({"kind": "command", "id": 1, "workload": "w", "action": "cancel"}, "'id' must be a text"),
        ({"kind": "command", "id": "1", "workload": "w" * 999, "action": "cancel"}, "'workload' must be"),
        ({"kind": "command", "id": "1", "workload": "w", "action": "cancel", "target": []}, "'target' must be"),
    ],
)
def test_a_bad_request_is_refused(request_: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        protocol.read(request_)


def test_a_document_stays_small_however_many_jobs_failed() -> None:
    why = "A transient error occurred on the QPU while the job was executed, and its result could not be retrieved."
    jobs = tuple(
        JobSnapshot(
            f"a1b2c3d4:{n}.0", JobState.FAILED, job_id=f"d2f1c3kq{n:04}08o9b123", run="a1b2c3d4", partition=n, of=1000,
            pubs=f"{2 * n}–{2 * n + 1}", reason=why, reason_code=9707, created=1e9 + n, running=1e9 + n, number=n + 1,
            finished=1e9 + n + 12.5, usage=Usage(0.0, "final", 8.0, "for each job 2 s + 0.00025 s × 24,000 executions"),
        )
        for n in range(1000)
    )  # fmt: skip
    state = replace(BEFORE, jobs=jobs)
    kept = [saved.data(state, "p1"), saved.as_html(state), saved.as_text(state)]
    assert sum(len(json.dumps(form, ensure_ascii=False).encode()) for form in kept) <= 50_000

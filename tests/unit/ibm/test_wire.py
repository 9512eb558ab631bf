"""What does not fit is named, and never taken for fresh, for known, or for zero."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.errors import ServiceError, WrongAnswerError
from qmode_widgets.ibm.wire import (
    SHAPES,
    InstanceUsage,
    Job,
    JobPage,
    JobUsage,
    Metrics,
    Session,
    Transition,
    Workload,
    WorkloadPage,
    active_ttl_falls,
    error_of,
)

JOB = {"id": "j", "state": {"status": "Running"}, "program": {"id": "sampler"}}


@pytest.mark.parametrize("answer", [{"jobs": None}, {}, [], None, {"jobs": {}}, {"jobs": "none"}])
def test_a_list_without_jobs_is_no_empty_list(answer):
    with pytest.raises(WrongAnswerError):
        JobPage.of(answer)
    with pytest.raises(WrongAnswerError):
        WorkloadPage.of(answer)


@pytest.mark.parametrize("usage", [-5, "five", None, float("nan"), float("inf"), True, [], {}])
def test_a_complete_usage_that_cannot_be_read_is_unknown_and_named(usage):
    told = {"status": "complete", "qpu_charge_time_seconds": usage}
    job, metrics = Job.of(JOB | {"usage": told}), Metrics.of({"usage": told}, "j")
    assert job.usage == metrics.usage == JobUsage(None, final=False)
    assert any("usage" in p or "qpu_charge_time_seconds" in p for p in job.problems)
    assert any("job j" in p for p in metrics.problems)


def test_a_usage_that_is_not_complete_may_be_missing():
    assert Job.of(JOB | {"usage": {"status": "pending", "qpu_charge_time_seconds": None}}).problems == ()
    assert Job.of(JOB | {"usage": None}).problems == ()


def test_one_entry_that_is_no_job_does_not_hide_the_others():
    page = JobPage.of({"jobs": [JOB, None, {"id": 5}, {"id": "k"}, JOB | {"id": "l"}], "count": "5"})
    assert [(j.id, j.status) for j in page.jobs] == [("j", "Running"), ("k", "unknown"), ("l", "Running")]
    assert (page.listed, page.count) == (5, 5)
    assert len(page.problems) == 3


@pytest.mark.parametrize("answer", [None, {}, {"id": None}, {"id": 5, "state": "open"}, {"id": ""}])
def test_a_session_has_an_id(answer):
    with pytest.raises(WrongAnswerError):
        Session.of(answer)


def test_a_session_with_nonsense_in_a_field_is_known_but_for_that_field():
    moves = [{"status": "open", "timestamp": "2026-01-01T00:00:00Z"}, 3]
    odd = {"max_ttl": "long", "elapsed_time": -60, "started_at": 5, "accepting_jobs": 1, "timestamps": moves}
    session = Session.of({"id": "s", "state": "active"} | odd)
    assert (session.max_ttl, session.elapsed_time, session.started_at, session.accepting_jobs) == (None,) * 4
    assert [t.state for t in session.transitions] == ["open"]
    assert len(session.problems) == 5


def test_a_workload_and_the_instances_usage():
    entry = {"id": "w", "mode": "batch", "status": "pending", "usage_seconds": 3, "tags": ["a"]}
    page = WorkloadPage.of({"workloads": [entry, {"id": 5}], "next": {"href": "more"}})
    address = {
        "workloads": [],
        "next": {"href": "https://somewhere/api/v1/workloads?limit=50&next=abc%3D&sort=createdAt"},
    }
    assert WorkloadPage.of(address).next == "abc="
    assert page.workloads == (Workload("w", "batch", "pending", usage=3, tags=("a",)),)
    assert page.next == "more"
    assert len(page.problems) == 1
    usage = InstanceUsage.of({"usage_consumed_seconds": "x", "usage_limit_seconds": 600, "usage_limit_reached": False})
    assert (usage.consumed, usage.limit, len(usage.problems)) == (None, 600, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_whatever_the_service_answers_is_parsed_or_refused_by_name(data):
    names = {
        Session: ["id", "state", "mode", "max_ttl", "elapsed_time", "timestamps", "accepting_jobs", "started_at"],
        Job: ["id", "state", "status", "usage", "tags", "program", "created", "private"],
        JobPage: ["jobs", "count"],
        Metrics: ["timestamps", "usage"],
        WorkloadPage: ["workloads", "next"],
        InstanceUsage: ["usage_consumed_seconds", "usage_limit_reached", "usage_period"],
    }
    kind = data.draw(st.sampled_from(list(names)))
    answer = data.draw(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(names[kind], JSON)))
    try:
        found = kind.of(answer)
    except WrongAnswerError:
        return
    assert [p for p in found.problems if not p or not p.isprintable()] == []
    if isinstance(found, Job):
        assert found.id
        assert found.usage.seconds is None or found.usage.seconds >= 0


def test_an_errors_text_does_nothing_to_a_terminal():
    error = ServiceError(
        "\x1b]8;;http://evil\x07click\x1b[2J\u202e\x00", status=400, code="\x1b[1m", solution="\x9b31m"
    )
    assert str(error).isprintable()
    assert "\\x1b]8;;http://evil\\x07click" in str(error)


@dataclasses.dataclass
class Page:
    text: str
    status_code: int = 502
    reason: str | None = "Bad Gateway"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def json(self):
        return json.loads(self.text)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!DOCTYPE html><head><title>\n 502 Bad&nbsp;Gateway </title></head><p>cf-ray", "502 Bad Gateway"),
        ("<html><body>Nothing here</body></html>", "a web page without a title, instead of an answer"),
        ("upstream is down", "upstream is down"),
        ("", "Bad Gateway"),
    ],
)
def test_a_page_instead_of_an_answer_gives_its_title_and_status_not_its_markup(page, said):
    assert str(error_of(Page(page))) == f"HTTP 502: {said}"


# -- the table ---------------------------------------------------------------------------------------------------------

PARSERS: dict[str, Any] = {
    "session": Session.of,
    "transition": Transition.of,
    "job": Job.of,
    "jobs": JobPage.of,
    "metrics": Metrics.of,
    "workload": Workload.of,
    "workloads": WorkloadPage.of,
    "instance usage": InstanceUsage.of,
}
GOOD: dict[str, Any] = {
    "id": "x",
    "text": "a",
    "flag": True,
    "seconds": 5,
    "time": "2026-01-01T00:00:00Z",
    "code": 1305,
}
OTHER: dict[str, list[Any]] = {  # of another type than the table says
    "id": [5, [], {}],
    "text": [5, True, [], {}],
    "word": [5, True, [], {}],
    "flag": [1, "true", {}],
    "seconds": ["5", True, -1, 10**400, {}],
    "time": [5, "soon", "2026-13-01T00:00:00Z", []],
    "code": ["five", 5.5, True, {}],
    "object": [5, "a", [1]],
    "list": [5, "a", {"a": 1}],
}


class Recording(dict[str, Any]):
    """A JSON object that notes which of its fields are read."""

    def __init__(self, data: dict[str, Any], read: set[str], inside: str = "") -> None:
        super().__init__({k: Recording(v, read, f"{inside}{k}.") if type(v) is dict else v for k, v in data.items()})
        self.read, self.inside = read, inside

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(self.inside + key)
        return super().get(key, default)


def place(data: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *way, last = path.split(".")
    for step in way:
        data = data[step]
    return data, last


def whole(shape: str) -> dict[str, Any]:
    """An answer in which every field of the table is told."""
    data: dict[str, Any] = {}
    for field in SHAPES[shape].fields:
        inner, name = place(data, field.path)
        lists: dict[str, list[Any]] = {"tags": ["a"], "jobs": [JOB], "timestamps": []}
        inner[name] = (
            {}
            if field.kind == "object"
            else lists.get(name, [])
            if field.kind == "list"
            else field.words[0]
            if field.words
            else GOOD[field.kind]
        )
    return data


CASES = [(shape, field) for shape in SHAPES for field in SHAPES[shape].fields]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_table_has_what_is_read_and_nothing_else(shape):
    read: set[str] = set()
    assert PARSERS[shape](Recording(whole(shape), read)).problems == ()
    data = whole(shape)
    for field in SHAPES[shape].fields:  # a field with a replacement is read where that one is missing
        if any(other.instead == field.path for other in SHAPES[shape].fields):
            inner, name = place(data, field.path)
            del inner[name]
    PARSERS[shape](Recording(data, read))
    assert read == {field.path for field in SHAPES[shape].fields}


@pytest.mark.parametrize(("shape", "field"), CASES, ids=[f"{shape}-{field.path}" for shape, field in CASES])
def test_no_field_but_an_id_or_a_listing_is_needed(shape, field):
    """Null, missing, of another type, an unknown word: everything else is still read."""
    needed = field.kind == "id" or field.path == shape  # "jobs" of "jobs"
    for value in (None, ..., *OTHER[field.kind]):
        data = whole(shape)
        if field.instead is not None:  # the replacement comes first
            inner, name = place(data, field.instead)
            del inner[name]
        inner, name = place(data, field.path)
        if value is ...:
            del inner[name]
        else:
            inner[name] = copy.deepcopy(value)
        if needed:
            with pytest.raises(WrongAnswerError, match=name):
                PARSERS[shape](data)
            continue
        found = PARSERS[shape](data)
        if value is not None and value is not ...:
            bare = field.path == "next" and isinstance(value, str)  # a cursor by itself is read too
            assert bare or any(name in problem for problem in found.problems), value
        elif field.promise == "optional" and field.path != "usage.qpu_charge_time_seconds":
            assert found.problems == ()


@pytest.mark.parametrize(("shape", "field"), [case for case in CASES if case[1].kind == "word"])
def test_a_word_that_nobody_knows_is_kept_as_it_came(shape, field):
    if field.path.startswith("usage"):  # it says whether the figure is final: an unknown word is no promise
        assert not Job.of(JOB | {"usage": {"status": "settled", "qpu_charge_time_seconds": 3}}).usage.final
        return
    data = whole(shape)
    inner, name = place(data, field.path)
    inner[name] = "Expired at 5"
    if field.path == "status" and shape == "job":
        del data["state"]
    found = PARSERS[shape](data)
    assert getattr(found, name) == "Expired at 5"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"usage": {"qpu_charge_time_seconds": 7}, "usage_seconds": 9}, 7),
        ({"usage": {"qpu_charge_time_seconds": 0}, "usage_seconds": 9}, 0),
        ({"usage": None, "usage_seconds": 9}, 9),
        ({"usage": {}, "usage_seconds": None}, None),
    ],
)
def test_a_workloads_usage_is_read_before_its_deprecated_field(told, seconds):
    assert Workload.of({"id": "w", "mode": "batch", "status": "pending"} | told).usage == seconds


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        ("Cancelled - Ran too long", {"status": "Cancelled", "reason": "Ran too long"}, "Cancelled - Ran too long"),
        ("Cancelled - Ran too long", {"status": "Cancelled - Ran too long"}, "Cancelled - Ran too long"),
        ("Cancelled", {"status": "Cancelled", "reason_code": 1305}, "Cancelled"),
        ("Cancelled", {"status": "Cancelled", "reason": "Ran too long", "reasonCode": None}, "Cancelled"),
    ],
)
def test_a_job_ran_too_long_by_its_code_or_by_words_alone(status, state, word):
    job = Job.of({"id": "j", "status": status, "state": state})
    assert job.ran_too_long
    assert job.status == word


def test_a_job_that_was_cancelled_did_not_run_too_long():
    assert not Job.of(
        {"id": "j", "status": "Cancelled", "state": {"status": "Cancelled", "reason": "By user"}}
    ).ran_too_long


@pytest.mark.parametrize(
    ("told", "closed"),
    [
        ({"state": "closed"}, True),
        ({"state": "canceled"}, True),
        ({"closed_at": "2026-01-01T00:00:00Z"}, True),
        ({"state": "expired", "closed_at": "2026-01-01T00:00:00Z"}, True),
        ({"state": "active", "closed_at": "2026-01-01T00:00:00Z"}, False),
        ({"state": "expired"}, False),
        ({}, False),
    ],
)
def test_a_workload_is_closed_by_a_word_or_by_its_closing_time(told, closed):
    assert Session.of({"id": "s"} | told).closed is closed


def active(ttl: int, *, since: str = "2026-01-01T00:00:00Z") -> Session:
    return Session.of({"id": "s", "state": "active", "activated_at": since, "active_ttl": ttl})


def test_the_active_deadline_is_never_too_early():
    """As long as nobody knows whether `active_ttl` is what remains or the maximum, the later time counts."""
    first = active(600)
    start = first.activated_at
    assert start is not None
    assert active_ttl_falls(first, active(590), 10) is True
    assert active_ttl_falls(first, active(600), 10) is False
    assert active_ttl_falls(first, active(600), 1) is None  # too close
    assert active_ttl_falls(first, active(590, since="2026-01-01T01:00:00Z"), 10) is None  # another stretch
    assert active(590).active_deadline(start + 10, falls=True) == start + 600
    assert active(600).active_deadline(start + 10, falls=False) == start + 600
    assert active(600).active_deadline(start + 10) == start + 610
    assert Session.of({"id": "s", "state": "inactive", "active_ttl": 5}).active_deadline(0.0) is None


@pytest.mark.parametrize("code", [[1], {"a": 1}, True, 5.5, None, "²", "1217"])
def test_an_errors_code_may_be_anything(code):
    answer = requests.Response()
    answer.status_code = 400
    answer._content = json.dumps({"errors": [{"code": code, "message": "No."}]}).encode()
    error = error_of(answer)
    assert "No." in str(error)
    assert error.code is None or type(error.code) in (int, str)

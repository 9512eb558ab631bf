"""What does not fit is named, and never taken for fresh, for known, or for zero."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.errors import ServiceError, WrongAnswerError
from qmode_widgets.ibm.wire import (
    InstanceUsage,
    Job,
    JobPage,
    JobUsage,
    Metrics,
    Session,
    Workload,
    WorkloadPage,
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
    assert [j.id for j in page.jobs] == ["j", "l"]
    assert (page.listed, page.count) == (5, 5)
    assert len(page.problems) == 3


@pytest.mark.parametrize("answer", [None, {}, {"id": "s"}, {"id": 5, "state": "open"}, {"id": "s", "state": None}])
def test_a_session_has_an_id_and_a_state(answer):
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
    page = WorkloadPage.of({"workloads": [entry, {"id": "v"}], "next": {"href": "more"}})
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
    assert all(isinstance(p, str) for p in found.problems)
    if isinstance(found, Job):
        assert found.id
        assert found.usage.seconds is None or found.usage.seconds >= 0


def test_an_errors_text_does_nothing_to_a_terminal():
    error = ServiceError(
        "\x1b]8;;http://evil\x07click\x1b[2J\u202e\x00", status=400, code="\x1b[1m", solution="\x9b31m"
    )
    assert str(error).isprintable()
    assert "\\x1b]8;;http://evil\\x07click" in str(error)


@dataclass
class Page:
    text: str
    status_code: int = 502
    reason: str | None = "Bad Gateway"
    headers: dict[str, str] = field(default_factory=dict)

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

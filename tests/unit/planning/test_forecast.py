import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmode_widgets.planning.forecast import Conditions, compare_modes, conditions, forecast


def test_batch_queues_once_and_prepares_in_parallel():
    course = forecast([60.0] * 5, "batch", Conditions(queue_wait=100, preparation=4))
    assert course.first_result == pytest.approx(100 + 4 + 60)
    assert course.last_result == pytest.approx(100 + 4 + 5 * 60)
    assert course.usage == pytest.approx(300)
    assert course.lanes_used == 5
    assert course.idle == 0
    assert course.reactivations == 0


def test_session_is_billed_idle_time_between_iterations():
    course = forecast([13.0], "session", Conditions(queue_wait=600, preparation=4), iterations=32, classical=23)
    assert course.usage == pytest.approx(32 * (13 + 4) + 31 * 23)
    assert course.idle == pytest.approx(31 * 23)
    assert course.last_result == pytest.approx(600 + course.usage)
    assert course.reactivations == 0


def test_a_session_published_as_billed_by_the_clock():
    """32 jobs of 13 s each, 1,284 s billed (tests/data, a VQE in a session): 27 s between results."""
    course = forecast([13.0], "session", Conditions(preparation=0), iterations=32, classical=27)
    assert 0.8 < course.usage / 1284 < 1.25


def test_iterations_queue_again_outside_a_session():
    given = Conditions(queue_wait=600, preparation=4)
    job = forecast([13.0], "job", given, iterations=10, classical=5)
    batch = forecast([13.0], "batch", given, iterations=10, classical=5)
    session = forecast([13.0], "session", given, iterations=10, classical=5)
    assert job.usage == batch.usage == pytest.approx(130)
    assert batch.reactivations == 9
    assert "interactive TTL" in batch.hits
    assert session.last_result < 0.2 * job.last_result
    patient = Conditions(queue_wait=600, preparation=4, batch_interactive_ttl=60)
    assert forecast([13.0], "batch", patient, iterations=10, classical=5).reactivations == 0


def test_max_ttl_fails_what_is_still_queued():
    course = forecast([60.0] * 20, "batch", Conditions(max_ttl=300))
    assert course.failed > 0
    assert course.completed + course.failed == 20
    assert "max TTL" in course.hits
    assert {b.state for b in course.bars} == {"completed", "failed"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.5, 50), min_size=1, max_size=40),
    st.integers(1, 10),
    st.floats(1, 60),
    st.integers(1, 3),
)
def test_submissions_keep_the_pace_of_the_service(seconds, burst, per_minute, iterations):
    given_ = Conditions(per_minute=per_minute, burst=burst)
    sent = sorted(b.submitted for b in forecast(seconds, "job", given_, iterations=iterations).bars)
    window = 60 * burst / per_minute
    for n in range(len(sent) - burst):
        assert sent[n + burst] - sent[n] >= window - 1e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=30), st.floats(0, 1000), st.integers(1, 4))
def test_what_holds_in_every_mode(seconds, wait, iterations):
    courses = compare_modes(seconds, Conditions(queue_wait=wait, max_ttl=1e6), iterations=iterations, classical=3)
    for course in courses.values():
        assert course.failed == 0
        assert course.completed == len(seconds) * iterations
        assert course.first_result >= wait
        assert course.first_result <= course.last_result
        busy = sorted((b.qpu_start, b.qpu_end) for b in course.bars)
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(busy))
    total = sum(seconds) * iterations
    assert courses["job"].usage == pytest.approx(total)
    assert courses["batch"].usage == pytest.approx(total)
    assert courses["session"].usage >= total - 1e-6


def test_the_wait_is_spelt_out():
    assert conditions(None, 90).why_wait == "a wait of 90 s in the queue, as given"
    assert "does not tell" in conditions(None).why_wait

    waits = conditions(4)
    assert waits.queue_wait == 120
    assert "4 pending jobs × 30 s" in waits.why_wait


@pytest.mark.parametrize(
    "make",
    [
        lambda: forecast([], "batch"),
        lambda: forecast([1.0], "batch", iterations=0),
        lambda: forecast([-1.0], "batch"),
        lambda: forecast([math.nan], "batch"),
        lambda: forecast([1.0], "session", classical=math.inf),
        lambda: Conditions(queue_wait=-1),
        lambda: Conditions(lanes=0),
        lambda: Conditions(per_minute=0),
    ],
)
def test_absurd_input_is_refused(make):
    with pytest.raises(ValueError, match=r"\d|jobs"):
        make()

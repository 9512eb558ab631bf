"""Submissions go as fast as the service takes them, and no faster once it said so."""

from __future__ import annotations

from qmode_widgets.control.engine.attempt import DOCUMENTED, Pacer


def test_nothing_is_held_back_before_the_service_says_so():
    pacer = Pacer()
    for now in range(10):
        pacer.accepted(now / 100)
    assert pacer.due(0.1) == 0.1


def test_retry_after_is_obeyed():
    pacer = Pacer()
    assert pacer.refused(10.0, 7.0) == 7.0
    assert pacer.due(11.0) == 17.0


def test_without_retry_after_the_pauses_grow():
    pacer = Pacer()
    waits = [pacer.refused(float(t), None) for t in range(8)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_a_429_submissions_are_spaced_and_the_pace_recovers():
    pacer = Pacer()
    for now in range(5):
        pacer.accepted(float(now))
    pacer.refused(5.0, 1.0)
    assert pacer.rate is not None
    assert pacer.rate >= DOCUMENTED
    pacer.accepted(6.0)
    first = pacer.due(6.0) - 6.0
    assert 0 < first <= 12
    pacer.accepted(20.0)
    assert 0 < pacer.due(20.0) - 20.0 < first


def test_a_second_429_slows_down():
    pacer = Pacer()
    for now in range(60):
        pacer.accepted(float(now))
    pacer.refused(60.0, 1.0)
    fast = pacer.rate
    pacer.accepted(61.0)
    pacer.refused(61.5, 1.0)
    assert pacer.rate is not None
    assert fast is not None
    assert pacer.rate < fast


def test_a_retry_after_of_nothing_is_no_leave_to_hammer():
    pacer = Pacer()
    assert [pacer.refused(float(t), 0.0) for t in range(3)] == [1, 2, 4]

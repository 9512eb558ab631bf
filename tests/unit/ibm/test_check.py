"""Answers against the table of fields, and what must not leave the machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from qmode_widgets.errors import ServiceError, UnreachableError, WrongAnswerError
from qmode_widgets.ibm.check import Redactor, Report, Row, deviations, remedy

JOB = {
    "id": "j",
    "status": "Completed",
    "state": {"status": "Completed"},
    "program": {"id": "sampler"},
    "created": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"backend": None, "tags": None, "unheard": 1}, []),
        ({"status": "Expired"}, ["status has the unknown word 'Expired'"]),
        ({"state": None}, ["state is null"]),
        ({"state": "Completed"}, ["state is a text, not an object"]),
        ({"created": "soon"}, ["created is a text, not a time"]),
        (
            {"usage": {"qpu_charge_time_seconds": -1}},
            ["usage.qpu_charge_time_seconds is a number, not a number of seconds"],
        ),
        ({"private": "yes", "tags": {}}, ["tags is an object, not a list", "private is a text, not true or false"]),
    ],
)
def test_what_an_answer_deviates_in(change, said):
    assert [str(found) for found in deviations("job", JOB | change)] == said


def test_a_required_field_that_is_missing():
    assert [str(found) for found in deviations("job", {k: v for k, v in JOB.items() if k != "created"})] == [
        "created is missing"
    ]


SECRETS = [
    "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef0123456789abcdef:5b8c1c2d-1f7e-4a0b-9a51-9f4d2ad0f6aa::",
    "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.abcDEF-_",
    "ada.lovelace@example.org",
    "IBMid-270003GUSX",
    "d4fhi23slq340n2o9lj7",
    "5b8c1c2d-1f7e-4a0b-9a51-9f4d2ad0f6aa",
    "0123456789abcdef0123456789abcdef",
    "Qx7-aa_bbccddeeffgghhiijjkkllmmnnooppqqrrsstt",
    "secret-tag",
    "ibm_secret",
    "my instance",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_replaced_wherever_they_stand(secret):
    hide = Redactor()
    hide.learn({"jobs": [{"tags": ["secret-tag"], "backend": "ibm_secret"}], "name": "my instance"})
    shown = hide(f"HTTP 400: nothing at {secret}, or ({secret}).")
    assert secret not in shown
    assert shown.startswith("HTTP 400: nothing at <")


def test_folders_and_passwords_of_proxies_are_replaced():
    hide = Redactor()
    assert hide(f"cannot read {Path.home()}/x") == "cannot read ~/x"
    assert "hunter2" not in hide("http://ada:hunter2@proxy:8080")


def test_a_word_of_the_service_does_nothing_to_a_terminal():
    assert Redactor()("\x1b[2Jgone").isprintable()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ServiceError("", status=401), "save_account"),
        (ServiceError("", status=403), "administrator"),
        (ServiceError("", status=404), "Update qmode_widgets"),
        (ServiceError("", status=429), "Wait a minute"),
        (ServiceError("", status=503), "status page"),
        (ServiceError("", status=418), "Report"),
        (WrongAnswerError("x"), "proxy may answer"),
        (UnreachableError("x", sent=True), "Run the check again"),
        (UnreachableError("x", sent=False), "HTTPS_PROXY"),
    ],
)
def test_every_failure_says_what_to_do(error, words):
    assert words in remedy(error)


def test_the_page():
    rows = (
        Row("A", "first", "ok", "fine"),
        Row("A", "second", "failed", "broken " * 30, "Mend it.", "Nothing works."),
        Row("B", "third", "warning", "odd", "Look at it.", "Nothing works."),
        Row("B", "fourth", "not checked", "nothing there"),
    )
    report = Report(rows, datetime(2026, 1, 1, tzinfo=UTC))
    assert not report.ok
    assert (
        str(report).splitlines()[0]
        == "qmode_widgets check, 2026-01-01 00:00 UTC: 1 ok, 1 warning, 1 failed, 1 not checked"
    )
    assert max(map(len, str(report).splitlines())) <= 100
    assert str(report).count("Nothing works.") == 1
    assert "→ Mend it." in str(report)
    assert "All that was checked will work." in str(Report(rows[:1], report.made))

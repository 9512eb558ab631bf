from __future__ import annotations

import pytest

from qmode_widgets.emulator.service.faults import FaultPlan


def test_a_request_fault_counts_only_what_it_matches():
    faults = FaultPlan()
    faults.add("request", {"method": "POST", "path": "/jobs", "count": 2, "status": 504})
    assert faults.next_request("GET", "/jobs") is None
    assert faults.next_request("POST", "/jobs/x") is None
    assert [bool(faults.next_request("POST", "/jobs")) for _ in range(3)] == [True, True, False]


def test_a_job_fault_waits_for_its_tag_and_skips():
    faults = FaultPlan()
    faults.add("job", {"tag": "mine", "skip": 1, "count": 2, "code": 1517})
    tags = [["mine"], ["other"], ["mine"], ["mine"], ["mine"]]
    assert [f.code if (f := faults.next_job(t)) else None for t in tags] == [None, None, 1517, 1517, None]


def test_a_soak_is_repeated_by_its_seed():
    def drawn(seed):
        faults = FaultPlan(seed)
        faults.soak = 0.3
        return [str(faults.next_request("GET", "/jobs")) for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 30 < sum(fault != "None" for fault in drawn(1)) < 90


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("weather", {}), ("job", {"status": 500}), ("request", {"count": "3"}), ("request", {"action": "explode"}),
        ("request", {"when": "never"}), ("request", {"status": 200}), ("request", {"path": "("}),
        ("request", {"delay": 1e9}), ("job", {"count": True}),
    ],
)  # fmt: skip
def test_a_fault_that_makes_no_sense_is_refused(kind, values):
    with pytest.raises(ValueError, match=r".+"):
        FaultPlan().add(kind, values)

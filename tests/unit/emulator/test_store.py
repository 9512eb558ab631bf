from __future__ import annotations

import pytest

from qmode_widgets.emulator.service.store import JobFilter, Store


def add(store, n, **values):
    row = {"id": f"j{n}", "instance": "i", "backend": "b", "mock": 0, "program": "p", "created": float(n)}
    store.add("jobs", row | {"status": "Queued", "pending": 0, "counts": 1, "tags": [], "usage": 2.0} | values)


@pytest.fixture
def store():
    with_rows = Store("")
    yield with_rows
    with_rows.close()


def test_pages_are_cut_from_the_whole(store):
    for n in range(25):
        add(store, n, tags=["even"] if n % 2 == 0 else ["odd", "x"])
    page, count = store.jobs(JobFilter("i"), limit=10, offset=20, newest_first=True)
    assert ([row["id"] for row in page], count) == (["j4", "j3", "j2", "j1", "j0"], 25)
    page, count = store.jobs(JobFilter("i", tags=("odd", "x")), limit=3, offset=0, newest_first=False)
    assert ([row["id"] for row in page], count) == (["j1", "j3", "j5"], 12)
    assert store.jobs(JobFilter("i", tags=("odd", "even")), limit=3, offset=0, newest_first=False) == ([], 0)


def test_memory_is_bounded_by_number_and_by_size(store):
    for n in range(200):
        add(store, n, result=b"x" * 10_000, pending=int(n == 0))
    store.prune(100)
    assert store.jobs(JobFilter("i"), limit=1, offset=0, newest_first=True)[1] == 101  # one that has not ended stays
    store.prune(100, most_bytes=500_000)
    kept, count = store.jobs(JobFilter("i"), limit=1, offset=0, newest_first=True)
    assert store.bytes <= 500_000
    assert 10 < count < 60
    assert kept[0]["id"] == "j199"
    store.prune(100, most_bytes=1)
    assert [row["id"] for row in store.jobs(JobFilter("i"), limit=9, offset=0, newest_first=True)[0]] == ["j0"]


def test_usage_counts_a_session_once(store):
    session = {"id": "s", "instance": "i", "backend": "b", "mode": "dedicated", "created": 5.0, "usage": 30.0}
    store.add("workloads", session)
    add(store, 1)
    add(store, 2, session_id="s", counts=0)
    add(store, 3, mock=1, counts=0)
    add(store, 4, instance="other")
    assert store.used("i", 0) == 32
    assert store.used("i", 4) == 30


def test_what_is_deleted_still_counts(store):
    for n in range(4):
        add(store, n, counts=int(n != 2))
    store.delete_job("j1")
    store.delete_job("j2")
    assert store.used("i", 0) == 6
    store.prune(0)
    assert store.jobs(JobFilter("i"), limit=9, offset=0, newest_first=True) == ([], 0)
    assert store.used("i", 0) == 6


def test_an_unknown_column_is_not_read(store):
    with pytest.raises(KeyError):
        store.blob("j1", "id FROM jobs; --")

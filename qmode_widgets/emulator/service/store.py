"""SQLite tables of workloads, jobs and usage, in memory or in a file that survives restarts. All SQL is here.

There is one row for each job and workload. Listings are queries, so memory stays flat however many jobs have ended.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS workloads (
    id TEXT PRIMARY KEY, instance TEXT, user TEXT, backend TEXT, mode TEXT, created REAL, state TEXT, reason TEXT,
    accepting INTEGER, max_ttl REAL, interactive_ttl REAL, active_ttl REAL, started REAL, activated REAL, closed REAL,
    last_job_started REAL, last_job_completed REAL, usage REAL, timestamps TEXT);
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, instance TEXT, user TEXT, backend TEXT, mock INTEGER,
    program TEXT, session_id TEXT, created REAL, status TEXT, pending INTEGER, reason TEXT, reason_code INTEGER,
    reason_solution TEXT, tags TEXT, private INTEGER, counts INTEGER, cost INTEGER, calibration_id TEXT, caller TEXT,
    estimate REAL, running REAL, finished REAL, usage REAL, qpu REAL, prep REAL, bill REAL, execution REAL,
    params BLOB, result BLOB, logs TEXT, read INTEGER, simulation TEXT);
CREATE TABLE IF NOT EXISTS bills (instance TEXT, day INTEGER, seconds REAL, PRIMARY KEY (instance, day));
CREATE INDEX IF NOT EXISTS jobs_by_instance ON jobs (instance, seq);
CREATE INDEX IF NOT EXISTS jobs_by_session ON jobs (session_id, seq);
CREATE INDEX IF NOT EXISTS jobs_by_pending ON jobs (pending, seq);
CREATE INDEX IF NOT EXISTS workloads_by_instance ON workloads (instance, created);
"""
VERSION = "3"
# The status of a batch or session: pending until its first job starts, then in progress until it is closed. A guess:
# only jobs are canceled or failed.
_ALL_MODES = """
SELECT id, instance, user, backend, CASE mode WHEN 'batch' THEN 'batch' ELSE 'session' END AS mode, created,
    closed AS ended,
    CASE WHEN state = 'closed' THEN 'completed' WHEN started IS NULL THEN 'pending' ELSE 'in_progress' END AS status,
    reason, accepting, '[]' AS tags, usage, NULL AS estimate, 0 AS mock
FROM workloads
UNION ALL
SELECT id, instance, user, backend, 'job', created, finished,
    CASE status WHEN 'Queued' THEN 'pending' WHEN 'Running' THEN 'in_progress' WHEN 'Completed' THEN 'completed'
        WHEN 'Cancelled' THEN 'canceled' ELSE 'failed' END,
    reason, NULL, tags, usage, estimate, mock
FROM jobs WHERE session_id IS NULL
"""
_BLOBS = {"params", "result", "logs"}
_JOB = (
    "seq id instance user backend mock program session_id created status pending reason reason_code reason_solution "
    "tags private counts cost calibration_id caller estimate running finished usage qpu prep bill execution read "
    "simulation"
)
_COLUMNS = ", ".join(_JOB.split())
_HAS_TAG = "EXISTS (SELECT 1 FROM json_each(tags) WHERE json_each.value = ?)"

Row = dict[str, Any]
GroupBy = Literal["instance", "backend", "user", "day"]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are listed; None means any. Times are seconds since the epoch."""

    instance: str
    user: str | None = None
    session_id: str | None = None
    backend: str | None = None
    program: str | None = None
    pending: bool | None = None
    created_after: float | None = None
    created_before: float | None = None
    tags: tuple[str, ...] = ()
    mocks: bool = False

    def conditions(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return SQL conditions with their values."""
        found: list[tuple[str, tuple[Any, ...]]] = [("instance = ?", (self.instance,))]
        found += _equal(self, "user", "session_id", "backend", "program")
        if self.pending is not None:
            found.append(("pending = ?", (int(self.pending),)))
        return found + _common(self)


@dataclass(frozen=True, slots=True)
class WorkloadFilter:
    """Which workloads of all modes are listed; None means any. Times are seconds since the epoch."""

    instance: str
    user: str | None = None
    backend: str | None = None
    mode: str | None = None
    statuses: tuple[str, ...] = ()
    search: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    tags: tuple[str, ...] = ()
    mocks: bool = False

    def conditions(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return SQL conditions with their values."""
        found: list[tuple[str, tuple[Any, ...]]] = [("instance = ?", (self.instance,))]
        found += _equal(self, "user", "backend", "mode")
        if self.statuses:
            found.append((f"status IN ({', '.join('?' * len(self.statuses))})", self.statuses))
        if self.search is not None:
            found.append(("(instr(id, ?) OR instr(tags, ?))", (self.search, self.search)))
        return found + _common(self)


def _equal(asked: JobFilter | WorkloadFilter, *names: str) -> list[tuple[str, tuple[Any, ...]]]:
    return [(f"{name} = ?", (value,)) for name in names if (value := getattr(asked, name)) is not None]


def _common(asked: JobFilter | WorkloadFilter) -> list[tuple[str, tuple[Any, ...]]]:
    found: list[tuple[str, tuple[Any, ...]]] = []
    if asked.created_after is not None:
        found.append(("created >= ?", (asked.created_after,)))
    if asked.created_before is not None:
        found.append(("created <= ?", (asked.created_before,)))
    found += [(_HAS_TAG, (tag,)) for tag in asked.tags]
    if not asked.mocks:
        found.append(("mock = 0", ()))
    return found


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which jobs and workloads the usage analytics count; an empty tuple means any."""

    instances: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    def conditions(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return SQL conditions with their values."""
        found: list[tuple[str, tuple[Any, ...]]] = []
        for name, values in (("instance", self.instances), ("backend", self.backends), ("user", self.users)):
            if values:
                found.append((f"{name} IN ({', '.join('?' * len(values))})", values))
        if self.start is not None:
            found.append(("created >= ?", (self.start,)))
        if self.end is not None:
            found.append(("created < ?", (self.end,)))
        return found


class Store:
    """The tables. Rows go in and out as dictionaries; tags and timestamps are lists.

    Args:
        path: a file that only its owner can read; "" keeps everything in memory.

    Raises:
        ValueError: the file cannot be used as a state file.
    """

    def __init__(self, path: str) -> None:
        try:
            if path:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                os.chmod(path, 0o600)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (VERSION,))
        except (sqlite3.DatabaseError, OSError) as error:
            raise ValueError(f"state={path!r} cannot be used: {error}; give another file, or remove it") from error
        if (version := self.meta("version")) != VERSION:
            raise ValueError(f"state={path!r} has version {version}, this emulator reads {VERSION}: remove it")

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def meta(self, key: str) -> str | None:
        """Return a value that belongs to the whole file."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a value that belongs to the whole file."""
        self._db.execute(
            "INSERT INTO meta VALUES (:key, :value) ON CONFLICT DO UPDATE SET value = :value",
            {"key": key, "value": value},
        )

    def add(self, table: Literal["jobs", "workloads"], row: Row) -> None:
        """Insert a job or a workload."""
        names = ", ".join(row)
        self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - our own names
            [_encoded(v) for v in row.values()],
        )

    def update(self, table: Literal["jobs", "workloads"], id: str, **values: Any) -> None:
        """Change columns of a row."""
        names = ", ".join(f"{name} = ?" for name in values)
        given = [*map(_encoded, values.values()), id]
        self._db.execute(f"UPDATE {table} SET {names} WHERE id = ?", given)  # noqa: S608 - our own names

    def job(self, id: str) -> Row | None:
        """Return a job without its params, result and logs."""
        return _decoded(self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone())  # noqa: S608

    def blob(self, id: str, column: str) -> Any:
        """Return a job's params, result or logs."""
        if column not in _BLOBS:
            raise KeyError(column)
        row = self._db.execute(f"SELECT {column} FROM jobs WHERE id = ?", (id,)).fetchone()  # noqa: S608 - checked
        return None if row is None else row[0]

    def workload(self, id: str) -> Row | None:
        """Return a batch or session."""
        return _decoded(self._db.execute("SELECT * FROM workloads WHERE id = ?", (id,)).fetchone())

    def delete_job(self, id: str) -> None:
        """Delete a job; its usage still counts."""
        self._drop("jobs", "counts", "id = ?", id)

    def _drop(self, table: str, counts: str, where: str, *values: Any) -> int:
        """Delete rows and keep what they used."""
        self._db.execute(
            f"INSERT INTO bills SELECT instance, CAST(created / 86400 AS INTEGER) AS day, total(usage) FROM {table} "  # noqa: S608 - our own names
            f"WHERE ({counts}) AND ({where}) GROUP BY instance, day "
            "ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds",
            values,
        )
        return self._db.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount  # noqa: S608 - our own names

    def jobs(self, asked: JobFilter, *, limit: int, offset: int, newest_first: bool) -> tuple[list[Row], int]:
        """Return a page of jobs in the order of their creation, and how many there are."""
        clause, values = _where(asked.conditions())
        (count,) = self._db.execute(f"SELECT count(*) FROM jobs WHERE {clause}", values).fetchone()  # noqa: S608 - our own conditions
        order = "DESC" if newest_first else "ASC"
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE {clause} ORDER BY seq {order} LIMIT ? OFFSET ?",  # noqa: S608 - our own conditions
            [*values, limit, offset],
        )
        return _rows(rows), int(count)

    def pending_jobs(self, instance: str) -> int:
        """Return how many jobs of an instance have not ended; those of dry runs do not count."""
        sql = "SELECT count(*) FROM jobs WHERE pending = 1 AND mock = 0 AND instance = ?"
        (count,) = self._db.execute(sql, (instance,)).fetchone()
        return int(count)

    def queued_jobs(self, instance: str) -> list[Row]:
        """Return the jobs of an instance that have not ended, oldest first; those of dry runs are left out."""
        return self.jobs(JobFilter(instance, pending=True), limit=-1, offset=0, newest_first=False)[0]

    def tags(self, instance: str, search: str) -> list[str]:
        """Return the tags of an instance's jobs that contain a text."""
        sql = (
            "SELECT DISTINCT json_each.value FROM jobs, json_each(jobs.tags) "
            "WHERE instance = ? AND instr(lower(json_each.value), lower(?)) ORDER BY 1"
        )
        return [str(tag) for (tag,) in self._db.execute(sql, (instance, search))]

    def open_workloads(self) -> list[Row]:
        """Return the batches and sessions that are not closed, oldest first."""
        return _rows(self._db.execute("SELECT * FROM workloads WHERE state != 'closed' ORDER BY created"))

    def active_sessions(self, instance: str) -> list[Row]:
        """Return the active sessions of an instance."""
        sql = "SELECT * FROM workloads WHERE instance = ? AND mode = 'dedicated' AND state = 'active'"
        return _rows(self._db.execute(sql, (instance,)))

    def workloads(self, asked: WorkloadFilter, *, limit: int, offset: int, newest_first: bool) -> tuple[list[Row], int]:
        """Return a page of jobs in job mode, batches and sessions by their creation, and how many there are."""
        clause, values = _where(asked.conditions())
        counted = f"SELECT count(*) FROM ({_ALL_MODES}) WHERE {clause}"  # noqa: S608 - our own conditions
        (count,) = self._db.execute(counted, values).fetchone()
        order = "DESC" if newest_first else "ASC"
        sql = (
            f"SELECT * FROM ({_ALL_MODES}) WHERE {clause} "  # noqa: S608 - our own conditions
            f"ORDER BY created {order}, id {order} LIMIT ? OFFSET ?"
        )
        return _rows(self._db.execute(sql, [*values, limit, offset])), int(count)

    def unfinished(self) -> list[Row]:
        """Return the jobs that have not ended, oldest first."""
        return _rows(self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE pending = 1 ORDER BY seq"))  # noqa: S608 - our own names

    def used(self, instance: str, since: float) -> float:
        """Return the usage of an instance's ended jobs and sessions since a time, in seconds."""
        (seconds,) = self._db.execute(
            "SELECT (SELECT total(usage) FROM jobs WHERE counts AND instance = :crn AND created >= :since) "
            "+ (SELECT total(usage) FROM workloads WHERE mode = 'dedicated' AND instance = :crn AND created >= :since) "
            "+ (SELECT total(seconds) FROM bills WHERE instance = :crn AND day >= CAST(:since / 86400 AS INTEGER))",
            {"crn": instance, "since": since},
        ).fetchone()
        return float(seconds)

    def analytics(self, asked: UsageFilter, group_by: GroupBy | None, now: float) -> list[Row]:
        """Return sums of usage and waiting times, in seconds; one row for each group, or one in all.

        A row has the group's `key`, the figures of jobs in job mode (`individual_…`), of all jobs' waits (`queue_…`)
        and of each mode of workload (`batch_…`, `dedicated_…`): `count`, `total`, `average` and `longest`.
        """
        key = {None: "NULL", "day": "date(created, 'unixepoch')"}.get(group_by, group_by)
        clause, values = _where(asked.conditions())
        wait = "(coalesce(running, finished, ?) - created)"
        alone = "FILTER (WHERE session_id IS NULL)"
        found: dict[Any, Row] = {}
        sql = (
            f"SELECT {key} AS key, count(*) AS jobs, count(*) {alone} AS individual_count, "  # noqa: S608 - our own names
            f"total(usage) {alone} AS individual_total, avg(usage) {alone} AS individual_average, "
            f"max(usage) {alone} AS individual_longest, total({wait}) AS queue_total, avg({wait}) AS queue_average, "
            f"max({wait}) AS queue_longest FROM jobs WHERE mock = 0 AND {clause} GROUP BY 1"
        )
        for row in self._db.execute(sql, [now, now, now, *values]):
            found[row["key"]] = dict(row)
        for mode in ("batch", "dedicated"):
            sql = (
                f"SELECT {key} AS key, count(*) AS {mode}_count, total(usage) AS {mode}_total, "  # noqa: S608 - our own names
                f"avg(usage) AS {mode}_average, max(usage) AS {mode}_longest "
                f"FROM workloads WHERE mode = ? AND {clause} GROUP BY 1"
            )
            for row in self._db.execute(sql, [mode, *values]):
                found.setdefault(row["key"], {}).update(dict(row))
        return list(found.values())

    def waits(self, backend: str, most: int = 1000) -> list[float]:
        """Return how many seconds the newest jobs of a backend waited before they started."""
        sql = (
            "SELECT running - created FROM jobs WHERE backend = ? AND running IS NOT NULL AND mock = 0 "
            "ORDER BY seq DESC LIMIT ?"
        )
        return [float(seconds) for (seconds,) in self._db.execute(sql, (backend, most))]

    def prune(self, keep: int, most_bytes: int = 2**30) -> None:
        """Delete the oldest ended jobs and workloads beyond `keep`, then jobs until all rows fit `most_bytes`."""
        old = "seq <= (SELECT seq FROM jobs ORDER BY seq DESC LIMIT 1 OFFSET ?)"
        self._drop("jobs", "counts", f"pending = 0 AND {old}", keep)
        old = "created <= (SELECT created FROM workloads ORDER BY created DESC LIMIT 1 OFFSET ?)"
        self._drop("workloads", "mode = 'dedicated'", f"state = 'closed' AND {old}", keep)
        while self.bytes > most_bytes:
            oldest = "seq IN (SELECT seq FROM jobs WHERE pending = 0 ORDER BY seq LIMIT 20)"
            if self._drop("jobs", "counts", oldest) == 0:
                return

    @property
    def bytes(self) -> int:
        """The size of the rows."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int(pages - free) * int(size)


def _where(conditions: Iterable[tuple[str, tuple[Any, ...]]]) -> tuple[str, list[Any]]:
    given = list(conditions)
    return " AND ".join(text for text, _ in given) or "1", [value for _, values in given for value in values]


def _encoded(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _decoded(row: sqlite3.Row | None) -> Row | None:
    if row is None:
        return None
    found = dict(row)
    for name in ("tags", "timestamps"):
        if name in found:
            found[name] = json.loads(found[name] or "[]")
    return found


def _rows(rows: Iterable[sqlite3.Row]) -> list[Row]:
    return [row for row in map(_decoded, rows) if row is not None]

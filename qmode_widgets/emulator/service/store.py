"""Where jobs, workloads and usage stand: SQLite, in a file that survives restarts or in memory.

One row a job and a workload; what is listed or paged is a query, so memory stays flat however many jobs have ended.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS workloads (
    id TEXT PRIMARY KEY, instance TEXT, backend TEXT, mode TEXT, created REAL, state TEXT, reason TEXT,
    accepting INTEGER, max_ttl REAL, interactive_ttl REAL, active_ttl REAL, started REAL, activated REAL, closed REAL,
    last_job_started REAL, last_job_completed REAL, usage REAL, timestamps TEXT);
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, instance TEXT, backend TEXT, mock INTEGER, program TEXT,
    session_id TEXT, created REAL, status TEXT, pending INTEGER, reason TEXT, reason_code INTEGER, reason_solution TEXT,
    tags TEXT, private INTEGER, counts INTEGER, cost INTEGER, estimate REAL, running REAL, finished REAL, usage REAL,
    qpu REAL, prep REAL, bill REAL, execution REAL, params BLOB, result BLOB, logs TEXT, read INTEGER);
CREATE TABLE IF NOT EXISTS bills (instance TEXT, day INTEGER, seconds REAL, PRIMARY KEY (instance, day));
CREATE INDEX IF NOT EXISTS jobs_by_instance ON jobs (instance, seq);
CREATE INDEX IF NOT EXISTS jobs_by_session ON jobs (session_id, seq);
CREATE INDEX IF NOT EXISTS jobs_by_pending ON jobs (pending, seq);
CREATE INDEX IF NOT EXISTS workloads_by_instance ON workloads (instance, created);
"""
VERSION = "1"
# A session's status: pending until its first job starts, then in progress until it is closed. A guess: canceled and
# failed are a job's only.
_ALL_MODES = """
SELECT id, instance, backend, CASE mode WHEN 'batch' THEN 'batch' ELSE 'session' END AS mode, created, closed AS ended,
    CASE WHEN state = 'closed' THEN 'completed' WHEN started IS NULL THEN 'pending' ELSE 'in_progress' END AS status,
    reason, accepting, '[]' AS tags, usage, NULL AS estimate, 0 AS mock
FROM workloads
UNION ALL
SELECT id, instance, backend, 'job', created, finished,
    CASE status WHEN 'Queued' THEN 'pending' WHEN 'Running' THEN 'in_progress' WHEN 'Completed' THEN 'completed'
        WHEN 'Cancelled' THEN 'canceled' ELSE 'failed' END,
    reason, 0, tags, usage, estimate, mock
FROM jobs WHERE session_id IS NULL
"""
_BLOBS = {"params", "result", "logs"}
_JOB = (
    "seq id instance backend mock program session_id created status pending reason reason_code reason_solution tags "
    "private counts cost estimate running finished usage qpu prep bill execution read"
)
_COLUMNS = ", ".join(_JOB.split())

Row = dict[str, Any]


class Store:
    """The tables. Rows go in and out as dictionaries; tags and timestamps are lists."""

    def __init__(self, path: str) -> None:
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (VERSION,))
            (version,) = self._db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        except sqlite3.DatabaseError as error:
            raise ValueError(f"state={path!r} cannot be used: {error}; give another file, or remove it") from error
        if version != VERSION:
            raise ValueError(f"state={path!r} is of version {version}, this emulator reads {VERSION}: remove it")

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def add(self, table: str, row: Row) -> None:
        """Insert a job or a workload."""
        names = ", ".join(row)
        self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - our own names
            [_down(v) for v in row.values()],
        )

    def update(self, table: str, id: str, **values: Any) -> None:
        """Change columns of a row."""
        names = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE {table} SET {names} WHERE id = ?", [*map(_down, values.values()), id])  # noqa: S608

    def job(self, id: str) -> Row | None:
        """A job without its params, result and logs."""
        return _up(self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone())  # noqa: S608

    def blob(self, id: str, column: str) -> Any:
        """A job's params, result or logs."""
        if column not in _BLOBS:
            raise KeyError(column)
        row = self._db.execute(f"SELECT {column} FROM jobs WHERE id = ?", (id,)).fetchone()  # noqa: S608
        return None if row is None else row[0]

    def workload(self, id: str) -> Row | None:
        """A workload."""
        return _up(self._db.execute("SELECT * FROM workloads WHERE id = ?", (id,)).fetchone())

    def delete_job(self, id: str) -> None:
        """Forget a job; its usage still counts."""
        self._drop("jobs", "counts", "id = ?", id)

    def _drop(self, table: str, counts: str, where: str, *values: Any) -> int:
        """Delete rows, and keep what they used."""
        self._db.execute(
            f"INSERT INTO bills SELECT instance, CAST(created / 86400 AS INTEGER) AS day, total(usage) FROM {table} "  # noqa: S608
            f"WHERE ({counts}) AND ({where}) GROUP BY instance, day "
            "ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds",
            values,
        )
        return self._db.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount  # noqa: S608

    def jobs(
        self, where: list[tuple[str, Any]], tags: Iterable[str] = (), *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[Row], int]:
        """A page of jobs and how many there are; `where` holds SQL conditions of one parameter each."""
        conditions = [condition for condition, _ in where] or ["1"]
        values: list[Any] = [value for _, value in where]
        for tag in tags:
            conditions.append("EXISTS (SELECT 1 FROM json_each(jobs.tags) WHERE json_each.value = ?)")
            values.append(tag)
        clause = " AND ".join(conditions)
        (count,) = self._db.execute(f"SELECT count(*) FROM jobs WHERE {clause}", values).fetchone()  # noqa: S608
        order = "DESC" if newest_first else "ASC"
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE {clause} ORDER BY seq {order} LIMIT ? OFFSET ?",  # noqa: S608
            [*values, limit, offset],
        )
        return [row for row in map(_up, rows) if row is not None], int(count)

    def all_workloads(self, where: str = "1", values: Iterable[Any] = ()) -> list[Row]:
        """Workloads that meet an SQL condition, oldest first."""
        rows = self._db.execute(f"SELECT * FROM workloads WHERE {where} ORDER BY created", tuple(values))  # noqa: S608
        return [row for row in map(_up, rows) if row is not None]

    def count_workloads(self, where: list[str], values: list[Any]) -> int:
        """How many workloads of all modes meet SQL conditions."""
        sql = f"SELECT count(*) FROM ({_ALL_MODES}) WHERE {' AND '.join(where)}"  # noqa: S608 - our own conditions
        (count,) = self._db.execute(sql, values).fetchone()
        return int(count)

    def page_of_workloads(
        self, where: list[str], values: list[Any], *, limit: int, offset: int, newest_first: bool
    ) -> list[Row]:
        """Jobs in job mode, batches and sessions, by the time they were created."""
        order = "DESC" if newest_first else "ASC"
        sql = (
            f"SELECT * FROM ({_ALL_MODES}) WHERE {' AND '.join(where)} "  # noqa: S608 - our own conditions
            f"ORDER BY created {order}, id {order} LIMIT ? OFFSET ?"
        )
        return [row for row in map(_up, self._db.execute(sql, [*values, limit, offset])) if row is not None]

    def unfinished(self) -> list[Row]:
        """Jobs that had not ended, oldest first."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE pending = 1 ORDER BY seq")  # noqa: S608
        return [row for row in map(_up, rows) if row is not None]

    def used(self, instance: str, since: float) -> float:
        """Usage of an instance's ended jobs and sessions since a moment, in seconds."""
        (seconds,) = self._db.execute(
            "SELECT (SELECT total(usage) FROM jobs WHERE counts AND instance = ?1 AND created >= ?2) "
            "+ (SELECT total(usage) FROM workloads WHERE mode = 'dedicated' AND instance = ?1 AND created >= ?2) "
            "+ (SELECT total(seconds) FROM bills WHERE instance = ?1 AND day >= CAST(?2 / 86400 AS INTEGER))",
            (instance, since),
        ).fetchone()
        return float(seconds)

    def prune(self, keep: int, most_bytes: int = 2**30) -> None:
        """Drop the oldest ended jobs and closed workloads beyond `keep`, and ended jobs until all fit `most_bytes`."""
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
        """What the rows take."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int(pages - free) * int(size)


def _down(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _up(row: sqlite3.Row | None) -> Row | None:
    if row is None:
        return None
    found = dict(row)
    for name in ("tags", "timestamps"):
        if name in found:
            found[name] = json.loads(found[name] or "[]")
    return found

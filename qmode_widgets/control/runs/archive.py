"""A run in a file: its results, and what is known of it, readable without the service.

A file is a ZIP archive of JSON, never of pickles:

    run.json            {"format": "qmode_widgets run", "version": 1, "of": partitions of the run,
                         "partitions": {"0": {"program", "pieces", "result" | "missing"}, …}, "provenance": {…}}
    results/0.json      the result of partition 0 as the service sent it, in the client's own encoding

`pieces` says which PUBs, or which parts of them, the partition carries (`model.partition.Piece`); `provenance` is
`control.provenance.Provenance`. A result is decoded by the client's own decoders when it is asked for.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...errors import ArchiveError, QmodeError
from ...ibm.client import decode
from ...model.partition import Partition, Piece
from ...model.snapshot import JobSnapshot, JobState, Usage, WorkloadSnapshot
from ...portal import portal
from ..state.ledger import Ledger
from .file import whole_file
from .provenance import Provenance
from .report import report
from .results import Results, incomplete, put_together, why_missing

FORMAT, VERSION = "qmode_widgets run", 1
ENTRY = "run.json"
_DAMAGED = (
    ValidationError,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    NotImplementedError,
    RecursionError,
)
LARGEST_HEAD = 256 * 2**20  # bytes of run.json
LARGEST_RESULT = 4 * 2**30  # bytes of one result
# Arrays in a result are compressed before they are JSON, so they shrink little more: what does was made to be large.
MOST_SHRUNK = 200  # times smaller
SHRUNK_FROM = 64 * 2**20  # bytes of a member; smaller ones may shrink as they like


@dataclass(frozen=True, slots=True)
class _Entry:
    """One partition: what it carries, and its result or why it has none."""

    pieces: tuple[Piece, ...]
    program: str = ""
    result: str | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class _Head:
    """The content of `run.json`."""

    format: str
    version: int
    of: int
    partitions: dict[int, _Entry]
    provenance: Provenance


def save(path: str | Path, run: Provenance, ledger: Ledger, results: Results) -> Path:
    """Write what there is of a run; a file that is there is replaced once the new one is whole.

    Raises:
        QmodeError: a result cannot be fetched; nothing is written.
        OSError: the file cannot be written.
    """
    rows = portal().call(ledger.latest, run.run)
    target = Path(path).expanduser().resolve()
    of = max((r.key.of for r in rows.values() if r.key), default=0)
    with whole_file(target) as fresh, zipfile.ZipFile(fresh, "x", zipfile.ZIP_DEFLATED) as archive:
        partitions: dict[int, _Entry] = {}
        for i in range(of):
            record = rows.get(i)
            pieces = () if record is None or record.partition is None else record.partition.pieces
            if record is not None and record.state is JobState.DONE:
                program, text = results.raw(record)
                partitions[i] = _Entry(pieces, program, f"results/{i}.json")
                archive.writestr(f"results/{i}.json", text)
            else:
                partitions[i] = _Entry(pieces, missing=why_missing(record))
        head = _Head(FORMAT, VERSION, of, partitions, run)
        archive.writestr(ENTRY, json.dumps(asdict(head), indent=1))
    return target


def load(path: str | Path) -> SavedRun:
    """A run that `run.save(path)` wrote; neither the service nor an account is needed.

    Raises:
        ArchiveError: the file is damaged, no saved run, or written by a newer version.
        OSError: there is no such file, or it cannot be read.
    """
    content = Path(path).expanduser().read_bytes()
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        _check_sizes(archive)
        found = json.loads(archive.read(ENTRY))
        kind, version = found["format"], found["version"]
    except _DAMAGED as error:
        raise ArchiveError(f"{path} is not a saved run, or it is damaged: {error}") from error
    if kind != FORMAT:
        raise ArchiveError(f"{path} holds {kind!r}, not {FORMAT!r}: pass a file that run.save(path) wrote")
    if type(version) is not int or version < 1:
        raise ArchiveError(f"{path} is damaged: its version is {version!r}, and versions begin with 1")
    if version > VERSION:
        raise ArchiveError(
            f"{path} is of version {version!r}, this qmode_widgets reads up to {VERSION}: "
            "pip install --upgrade qmode-widgets"
        )
    try:
        of, partitions = found["of"], found["partitions"]
        if type(of) is not int or not isinstance(partitions, dict) or len(partitions) != of:
            raise ValueError(f"{len(partitions)} of {of} partitions are in it")
        head = TypeAdapter(_Head).validate_python(found)
        if set(head.partitions) != set(range(of)):
            raise ValueError(f"its partitions are not numbered from 0 to {of - 1}")
        for entry in head.partitions.values():
            if entry.result is not None:
                archive.getinfo(entry.result)
        bad = archive.testzip()
    except _DAMAGED as error:
        raise ArchiveError(f"{path} is damaged: {error}") from error
    if bad is not None:
        raise ArchiveError(f"{path} is damaged: {bad} cannot be read")
    return SavedRun(archive, head, str(path))


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Before anything is read. A member yields no more than the size that is told here, whatever it holds.

    Raises:
        ValueError: a member is larger than any of a run that can be saved.
    """
    for member in archive.infolist():
        size, most = member.file_size, LARGEST_HEAD if member.filename == ENTRY else LARGEST_RESULT
        shrunk = size >= SHRUNK_FROM and size > MOST_SHRUNK * member.compress_size
        if size > most or shrunk:
            raise ValueError(f"{member.filename} unpacks to {size:,} bytes from {member.compress_size:,}")


class SavedRun:
    """A run read from a file: what was known of it when it was saved, and its results."""

    def __init__(self, archive: zipfile.ZipFile, head: _Head, path: str) -> None:
        self.provenance = head.provenance
        self._archive, self._head, self._path = archive, head, path
        self._lock = threading.Lock()  # a ZipFile is read by one thread at a time

    @property
    def id(self) -> str:
        """The run's id: `qmode.attach(id, service)` finds it on the service."""
        return self.provenance.run

    @property
    def label(self) -> str | None:
        """The name it was given."""
        return self.provenance.label

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """The last attempt at each partition, in PUB order."""
        return tuple(j for j in self.provenance.workload.jobs if not j.superseded)

    @property
    def usage(self) -> Usage:
        """QPU usage of the run's jobs in seconds: reported, expected, and which."""
        return self.provenance.usage

    def snapshot(self) -> WorkloadSnapshot:
        """The run's workload as it was when it was saved, with every attempt of this run."""
        return self.provenance.workload

    def result(self) -> Any:
        """The merged result in PUB order.

        Raises:
            IncompleteResultError: a partition had no result when the run was saved; it says why for each.
        """
        missing = {i: e.missing for i, e in self._head.partitions.items() if e.result is None}
        if missing:
            raise incomplete(
                missing,
                self._head.of,
                f"They had none when this file was written. partial_result() gives what there is; "
                f"qmode_widgets.attach({self.id!r}, service) looks for the rest",
            )
        return self._read(partial=False)

    def partial_result(self) -> Any:
        """What there is of it, and what is missing."""
        return self._read(partial=True)

    def _read(self, *, partial: bool) -> Any:
        found = {}
        for number, entry in self._head.partitions.items():
            if entry.result is None:
                continue
            with self._lock:
                text = self._archive.read(entry.result).decode()
            try:
                found[number] = decode(entry.program, text)
            except Exception as error:
                raise QmodeError(
                    f"the result of partition {number + 1} in {self._path} cannot be decoded ({error!r}): a newer "
                    "qiskit-ibm-runtime may read it"
                ) from error
        rows = {i: Partition(e.pieces) for i, e in self._head.partitions.items()}
        return put_together(rows, self._head.of, found, partial=partial)

    def report(self, path: str | Path) -> Path:
        """Write the report of the run as one HTML file that needs nothing else."""
        return report(path, self.provenance)

    def __repr__(self) -> str:
        named = f" {self.label!r}" if self.label else ""
        done = sum(e.result is not None for e in self._head.partitions.values())
        return f"<SavedRun {self.id}{named}: {done} of {self._head.of} partitions done>"

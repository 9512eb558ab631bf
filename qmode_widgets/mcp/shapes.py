"""What each tool answers. Usage and durations in seconds, times as ISO 8601 in UTC on the service's clock.

`null` means unknown; it is never 0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

Seconds = Annotated[float | None, Field(description="Seconds; null: not known")]
Time = Annotated[
    str | None, Field(description="ISO 8601, UTC; null: not known", json_schema_extra={"format": "date-time"})
]
Result = Annotated[
    dict[str, Any] | None,
    Field(description="Of the last run once all its jobs have ended: pubs, each with its registers or arrays"),
]


class Bill(TypedDict):
    """QPU seconds that are billed."""

    low: float
    expected: float
    high: float


class Forecast(TypedDict):
    """What one execution mode means for the work."""

    bill: Bill
    first_result_after: Seconds
    last_result_after: Seconds


class Payer(TypedDict):
    """Who pays."""

    instance: str
    instance_plan: str | None


class Estimated(TypedDict):
    """A usage in QPU seconds, and how it came about."""

    low: float
    expected: float
    high: float
    jobs: int
    formula: str
    assumed: list[str]


class EstimateAnswer(Estimated, Payer):
    """Of `estimate`."""

    backend: str


class PlanAnswer(Payer):
    """Of `plan`."""

    backend: str
    mode: Literal["job", "batch", "session"]
    why: list[str]
    jobs: int
    partitions: list[str]
    bill: Bill
    modes: dict[str, Forecast]
    usage: Estimated
    findings: list[str]
    warnings: list[str]
    assumed: list[str]


class WorkloadRow(TypedDict):
    """One open workload."""

    id: str
    mode: Literal["job", "batch", "session"]
    backend: str
    instance: str
    status: str
    created: Time
    usage: Seconds
    submitted_here: Annotated[bool, Field(description="This server opened it, or submitted jobs of it")]


class ListAnswer(TypedDict):
    """Of `list`."""

    workloads: list[WorkloadRow]
    not_seen: list[str]


class JobAnswer(TypedDict):
    """One job."""

    job: str
    state: str
    partition: NotRequired[int]
    attempt: NotRequired[int]
    pubs: NotRequired[str]
    usage: NotRequired[float]
    expected_usage: NotRequired[float]
    label: NotRequired[str]
    note: NotRequired[str]
    reason: NotRequired[str]
    reason_code: NotRequired[int]
    advice: NotRequired[str]


class UsageAnswer(TypedDict):
    """QPU seconds of a workload."""

    reported: Seconds
    status: Literal["none", "running", "final"]
    expected: Seconds
    idle: Seconds
    cap: Seconds
    instance_left: Seconds


class LimitAnswer(TypedDict):
    """A bound on the workload, and who keeps it."""

    name: str
    value: str
    kept_by: str
    acted: Time


class EventAnswer(TypedDict):
    """Something that happened."""

    time: Time
    level: Literal["info", "warning", "error"]
    text: str


class WatchAnswer(TypedDict):
    """Of `watch`: the state of one workload."""

    id: str
    workload_id: str | None
    mode: Literal["job", "batch", "session"]
    backend: str
    instance: str | None
    whose: Annotated[str, Field(description="this server's, the user's or a colleague's; unknown")]
    state: str
    accepting_jobs: bool | None
    finished: bool
    counts: dict[str, int]
    jobs: list[JobAnswer]
    jobs_not_shown: int
    usage: UsageAnswer
    max_ttl_ends: Time
    limits: list[LimitAnswer]
    events: list[EventAnswer]
    problem: str | None
    result: NotRequired[Result]


class SubmitAnswer(WatchAnswer):
    """Of `submit`."""

    run: str
    key: Annotated[str, Field(description="The same call with this key gives this run and pays nothing more")]
    repeated: Annotated[bool, Field(description="An earlier call with this key made the run: nothing was sent now")]
    note: NotRequired[str]
    planned_bill: Bill | None
    instance_plan: str | None


class ResubmitAnswer(WatchAnswer):
    """Of `resubmit`."""

    resubmitted: int


class CancelledJob(TypedDict):
    """What came of cancelling one job."""

    outcome: str
    failed: bool
    code: int | str | None
    reason: str | None


class CancelAnswer(WatchAnswer):
    """Of `cancel`."""

    outcome: str
    failed: Annotated[bool, Field(description="Something may go on and cost usage")]
    jobs_asked: dict[str, CancelledJob]


class BackendRow(TypedDict):
    """One backend."""

    name: str
    qubits: int
    operational: bool | None
    status: str | None
    pending_jobs: Annotated[int | None, Field(description="Of all users")]


class BackendsAnswer(TypedDict):
    """Of `backends`."""

    backends: list[BackendRow]


class QubitAnswer(TypedDict):
    """What the last calibration says of one qubit."""

    qubit: int
    t1_seconds: Seconds
    t2_seconds: Seconds
    readout_error: float | None


class BackendAnswer(BackendRow):
    """Of `backend`."""

    processor: str | None
    basis_gates: list[str]
    calibrated: Time
    max_shots: int | None
    median_t1_seconds: Seconds
    median_t2_seconds: Seconds
    median_readout_error: float | None
    median_two_qubit_error: float | None
    two_qubit_gate: str | None
    qubit_properties: list[QubitAnswer]


class InstanceAnswer(TypedDict):
    """The usage of one instance in its present period, in QPU seconds."""

    instance: str
    plan: str | None
    used: Seconds
    allocation: Seconds
    limit: Seconds
    left: Seconds
    limit_reached: bool | None
    period_start: Time
    period_end: Time
    problem: str | None


class InstancesAnswer(TypedDict):
    """Of `usage`."""

    instances: list[InstanceAnswer]


class ListedJob(TypedDict):
    """One job of the account."""

    job: str
    status: str
    instance: str
    backend: str | None
    program: str | None
    workload: str | None
    created: Time
    ended: Time
    usage: Seconds
    tags: list[str]
    reason: str | None
    reason_code: int | None


class JobsAnswer(TypedDict):
    """Of `jobs`."""

    jobs: list[ListedJob]
    not_seen: list[str]


class OptionAnswer(TypedDict):
    """One option of a primitive."""

    name: str
    type: str
    default: Any


class OptionsAnswer(TypedDict):
    """Of `options`."""

    primitive: str
    options: list[OptionAnswer]

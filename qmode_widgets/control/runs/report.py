"""A run as one HTML file that needs nothing else: no script, no request, no token.

Whatever comes from the service, from tags or from options is escaped, and a content security policy lets the page load
nothing and run nothing. It follows the reader's light or dark scheme and prints in black on white.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from ...errors import printable
from ...model.snapshot import JobSnapshot, JobState, Usage
from ...model.text import SIGNS, why
from ...planning.durations import billed, duration
from .file import whole_file
from .provenance import Planned, Provenance

TALLEST = 900.0  # of the time line, in pixels: of 1,000 attempts each has a thin row
LABELLED = 11.0  # pixels of a row that its name fits into
LEFT, RIGHT, FOOT = 150.0, 990.0, 34.0

_STYLE = """
:root{color-scheme:light dark;--fg:#1b1b1b;--dim:#5a5a5a;--line:#d4d4d4;--ground:#fff;--box:#f5f6f8;--warn:#8a4b00;
--bad:#a3191b;--waiting:#8c8c8c;--running:#56b4e9;--qpu:#0072b2;--failed:#d55e00}
@media (prefers-color-scheme:dark){:root{--fg:#e6e6e6;--dim:#a8a8a8;--line:#474747;--ground:#161719;--box:#212327;
--warn:#ffb74d;--bad:#ff8a80;--waiting:#9a9a9a;--running:#56b4e9;--qpu:#3d9bdc;--failed:#f0803c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 20px 60px;max-width:1080px;background:var(--ground);color:var(--fg);
font:15px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:1.6em;margin:0;overflow-wrap:anywhere}h2{font-size:1.15em;margin:1.8em 0 .4em}
p{margin:.3em 0}.dim{color:var(--dim)}.warn{color:var(--warn)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:.4em 0}dt{color:var(--dim)}
dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.93em}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:600}th,td{white-space:nowrap}
td:last-child:not(.n){white-space:normal;min-width:14em;overflow-wrap:anywhere}td.n,th.n{text-align:right}
tr.old td{color:var(--dim)}tr.advised td{font-weight:600}
.box{background:var(--box);border-radius:6px;padding:10px 14px}
svg{display:block;width:100%;min-width:560px;height:auto}svg text{fill:var(--fg);font:12px system-ui,sans-serif}
svg .axis{stroke:var(--line)}svg text.tick{fill:var(--dim);font-size:11px}
.waiting{fill:var(--waiting)}.running{fill:var(--running)}.qpu{fill:var(--qpu)}.failed{fill:var(--failed)}
.key{display:inline-block;margin-right:16px}.key svg{display:inline-block;width:14px;min-width:0;height:12px}
@media screen and (max-width:640px){dl{grid-template-columns:1fr}dt{overflow-wrap:anywhere}dd{margin:0 0 4px 1em}}
@media print{:root{color-scheme:light;--fg:#000;--dim:#444;--line:#bbb;--ground:#fff;--box:#fff;--warn:#000;--bad:#000;
--qpu:#0072b2;--failed:#d55e00;--waiting:#8c8c8c}body{padding:0;max-width:none;font-size:10.5pt}
.scroll{overflow:visible}tr,svg,.box{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report(path: str | Path, run: Provenance) -> Path:
    """Write the report of a run; a file that is there is replaced once the new one is whole.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path).expanduser().resolve()
    with whole_file(target) as fresh:
        fresh.write_text(page(run), encoding="utf-8")
    return target


def page(run: Provenance) -> str:
    """The HTML of a report."""
    title = _text(run.label or f"Run {run.run}")
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        _summary(run),
        "" if run.plan is None else _section("Plan", _plan(run.plan)),
        _section("Estimate and bill", _bill(run)),
        _section("Timeline", _timeline(run)),
        _section("Jobs and attempts", _jobs(run)),
        _section("Options", _options(run.options)),
        _section("Limits and events", _events(run)),
        _section("Calibration and versions", _circumstances(run)),
        "</main></body></html>",
    ]
    return "".join(parts)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _text(value: object) -> str:
    """Anybody's text, as text."""
    return escape(printable(str(value)))


def _facts(pairs: Iterable[tuple[str, str | None]]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs if value is not None)
    return f"<dl>{rows}</dl>"


def _table(head: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], numbers: frozenset[int]) -> str:
    """Rows of a class and cells; cells are escaped here."""

    def cell(tag: str, i: int, value: str) -> str:
        return f"<{tag}{' class=n' if i in numbers else ''}>{_text(value)}</{tag}>"

    top = "".join(cell("th", i, name) for i, name in enumerate(head))
    body = "".join(
        f"<tr class='{kind}'>{''.join(cell('td', i, value) for i, value in enumerate(cells))}</tr>"
        for kind, cells in rows
    )
    return f"<div class='scroll' tabindex='0'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _when(seconds: float | None) -> str | None:
    try:
        return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s since 1970"  # a service's clock may say anything


def _current(run: Provenance) -> list[JobSnapshot]:
    return [j for j in run.workload.jobs if not j.superseded]


def _counts(run: Provenance) -> str:
    states: dict[JobState, int] = {}
    for job in _current(run):
        states[job.state] = states.get(job.state, 0) + 1
    return ", ".join(f"{n} {state}" for state, n in states.items()) or "none known"


def _summary(run: Provenance) -> str:
    home = run.workload
    began = min((t for j in home.jobs if (t := j.running or j.created) is not None), default=None)
    ends = [j.finished for j in _current(run)]
    ended = None if None in ends or not ends else max(t for t in ends if t is not None)
    return _facts(
        [
            ("Run", run.run),
            ("Mode", home.mode),
            ("Backend", home.backend),
            ("Workload", home.workload_id if home.mode != "job" else None),
            ("Instance", home.instance),
            ("Partitions", _counts(run)),
            ("First job ran", _when(began)),
            ("Last job ended", _when(ended)),
            ("Written", _when(run.at)),
        ]
    )


# --- plan, estimate, bill ----------------------------------------------------------------------------------------


def _plan(plan: Planned) -> str:
    jobs = f"{plan.jobs:,} job" + "s" * (plan.jobs != 1)
    price = "" if plan.price is None else f", ≈ {plan.price:,.2f} at the price given"
    why = "".join(f"<p>{_text(reason)}</p>" for reason in plan.reasons)
    rows = [
        (
            "advised" if m.mode == plan.mode else "",
            (
                m.mode.capitalize() + (" ✓ advised" if m.mode == plan.mode else ""),
                _span(m.first_result),
                _span(m.last_result),
                f"≈ {billed(m.expected)}",
                f"{m.low:,.0f}–{m.high:,.0f} s",
            ),
        )
        for m in plan.modes
    ]
    table = _table(("Mode", "First result", "Last result", "Billed", "Interval"), rows, frozenset({1, 2, 3, 4}))
    notes = "".join(f"<p class='warn'>{_text(line)}</p>" for line in plan.findings)
    return f"<p><b>{_text(plan.mode.capitalize())} mode</b>, {jobs}{_text(price)}</p>{why}{table}{notes}"


def _span(seconds: float | None) -> str:
    return "–" if seconds is None or not math.isfinite(seconds) else duration(seconds)


def _reported(usage: Usage) -> str:
    if usage.reported is None:
        return "– (the service has reported nothing yet)"
    return billed(usage.reported) + ("" if usage.status == "final" else " so far")


def _bill(run: Provenance) -> str:
    own, whole = run.usage, run.workload.usage
    pairs = [
        ("Expected", "–" if own.estimated is None else f"≈ {billed(own.estimated)} of QPU usage"),
        ("Reported by the service", _reported(own)),
    ]
    if own.reported is not None and own.status == "final" and own.estimated:
        pairs.append(("Reported − expected", f"{own.reported - own.estimated:+.1f} s"))
    said = ""
    if run.workload.mode == "session":
        pairs.append(("The session's clock", _reported(whole)))
        if whole.idle is not None:
            pairs.append(("Idle in it", billed(whole.idle)))
        said = "<p class='dim'>A session is billed by its clock, idle time and other runs included.</p>"
    if whole.cap is not None:
        pairs.append(("Usage cap of the workload", billed(whole.cap)))
    formula = next((j.usage.formula for j in run.workload.jobs if j.usage.formula), None)
    if formula is not None:
        pairs.append(("Formula, first job", formula))
    return _facts(pairs) + said


# --- the time line -----------------------------------------------------------------------------------------------


def _name(job: JobSnapshot) -> str:
    again = f", attempt {job.attempt + 1}" if job.attempt else ""
    return (f"Job {job.job_id}" if job.partition is None else f"Partition {job.partition + 1}") + again


def _bars(job: JobSnapshot, end: float) -> Iterator[tuple[str, float, float]]:
    """The stretches of an attempt: class, from, to."""
    created = job.created if job.created is not None else job.running
    if created is None:
        return
    finished = job.finished if job.finished is not None else end
    yield "waiting", created, job.running if job.running is not None else finished
    if job.running is not None:
        yield ("failed" if job.state is JobState.FAILED else "running"), job.running, finished
    for a, b in job.spans:
        yield "qpu", a, b


_SAID = {"waiting": "waiting", "running": "running", "failed": "running, then failed", "qpu": "on the QPU"}
_SHARE = {"waiting": 0.25, "running": 0.6, "failed": 0.6, "qpu": 0.9}  # of a row's height: told apart without colour


def _timeline(run: Provenance) -> str:
    shown = [j for j in run.workload.jobs if j.created is not None or j.running is not None]
    if not shown:
        return "<p class='dim'>No job has reached the service yet.</p>"
    bars = [list(_bars(j, run.at)) for j in shown]
    start = min(a for row in bars for _, a, _ in row)
    end = max(max(a, b) for row in bars for _, a, b in row)
    length = max(end - start, 1e-3)
    row = min(22.0, TALLEST / len(shown))
    height = row * len(shown) + FOOT

    def x(t: float) -> float:
        return LEFT + (RIGHT - LEFT) * (t - start) / length

    parts = []
    for tick in _ticks(length):
        at = x(start + tick)
        parts.append(f"<line class='axis' x1='{at:.1f}' x2='{at:.1f}' y1='0' y2='{height - FOOT:.1f}'/>")
        parts.append(f"<text class='tick' x='{at:.1f}' y='{height - 18:.1f}' text-anchor='middle'>{tick:g}</text>")
    middle = (LEFT + RIGHT) / 2
    parts.append(
        f"<text class='tick' x='{middle:.0f}' y='{height - 3:.1f}' text-anchor='middle'>"
        "seconds since the first submission</text>"
    )
    for i, (job, stretches) in enumerate(zip(shown, bars, strict=True)):
        top = i * row
        if row >= LABELLED:
            name = _name(job)
            name = name if len(name) <= 24 else f"{name[:23]}…"
            parts.append(f"<text x='{LEFT - 8:.0f}' y='{top + row / 2 + 4:.1f}' text-anchor='end'>{_text(name)}</text>")
        for kind, a, b in stretches:
            size = row * _SHARE[kind]
            wide = max(x(b) - x(a), 1.5)
            told = f"{_text(_name(job))}: {_SAID[kind]}, {max(0.0, b - a):,.1f} s"
            parts.append(
                f"<rect class='{kind}' x='{x(a):.1f}' y='{top + (row - size) / 2:.1f}' width='{wide:.1f}' "
                f"height='{size:.1f}'><title>{told}</title></rect>"
            )
    about = f"What ran when: {len(shown)} attempts in {duration(length)}; the table below has the same in words"
    kinds = {kind for stretches in bars for kind, _, _ in stretches}
    key = "".join(
        f"<span class='key'><svg viewBox='0 0 14 12' aria-hidden='true'><rect class='{k}' x='0' width='14' "
        f"y='{6 - 6 * _SHARE[k]:.1f}' height='{12 * _SHARE[k]:.1f}'/></svg> {_SAID[k]}</span>"
        for k in _SAID
        if k in kinds
    )
    drawn = f"<svg role='img' aria-label='{about}' viewBox='0 0 1000 {height:.1f}'>{''.join(parts)}</svg>"
    note = "" if "qpu" in kinds else "<p class='dim'>When the QPU worked is known once a result was read.</p>"
    return f"<p>{key}</p><div class='scroll' tabindex='0'>{drawn}</div>{note}"


def _ticks(length: float) -> list[float]:
    """Round numbers of seconds, five to ten of them."""
    raw = length / 6
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= raw)
    return [step * i for i in range(int(length / step) + 1)]


# --- jobs, options, events, circumstances --------------------------------------------------------------------------


def _jobs(run: Provenance) -> str:
    rows = []
    for job in run.workload.jobs:
        expected = "–" if job.usage.estimated is None else f"≈ {job.usage.estimated:.1f} s"
        used = "–" if job.usage.reported is None else f"{job.usage.reported:.1f} s"
        ran = None if job.running is None or job.finished is None else job.finished - job.running
        notes = [why(job), job.reason_solution or "", "resubmitted" if job.superseded else ""]
        rows.append(
            (
                "old" if job.superseded else "",
                (
                    "–" if job.partition is None else str(job.partition + 1),
                    str(job.attempt + 1),
                    job.pubs or "–",
                    SIGNS[job.state],
                    job.job_id or "–",
                    expected,
                    used,
                    "–" if ran is None else f"{ran:,.1f} s",
                    " · ".join(n for n in notes if n),
                ),
            )
        )
    head = ("Partition", "Attempt", "PUBs", "State", "Job", "Expected", "Used", "Ran", "Remarks")
    return _table(head, rows, frozenset({0, 1, 5, 6, 7}))


def _flat(options: dict[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", str(value)


def _options(options: dict[str, Any] | None) -> str:
    if options is None:
        return "<p class='dim'>Not known: another process submitted the run, and the service does not return them.</p>"
    return _facts(_flat(options)) if options else "<p class='dim'>None are set.</p>"


def _events(run: Provenance) -> str:
    limits = [(x.name, f"{x.value}, kept by the {x.where}", x.acted) for x in run.workload.limits]
    shown = _facts((name, said + ("" if at is None else f"; acted {_when(at)}")) for name, said, at in limits)
    keys = {j.key for j in run.workload.jobs}
    own = [e for e in run.workload.events if e.job is None or e.job in keys]
    kinds = {"warning": "warn", "error": "bad", "info": ""}
    lines = "".join(
        f"<p class='{kinds[e.level]}'><span class='dim'>{_when(e.time)}</span> "
        f"{'' if e.level == 'info' else e.level + ': '}{_text(e.text)}</p>"
        for e in own
    )
    return (shown if limits else "") + (lines or "<p class='dim'>Nothing happened that needed telling.</p>")


def _circumstances(run: Provenance) -> str:
    calibrated = _when(run.calibrated) or "not known"
    pairs = [("Backend's last calibration before the run", calibrated)]
    pairs += [(name, number) for name, number in (run.versions or {}).items()]
    said = "<p class='dim'>Versions are those of the process that wrote this report.</p>"
    return _facts(pairs) + said

"""A plan as HTML for a notebook cell and as text for a terminal. Whatever came from outside is escaped.

Colours are JupyterLab's variables with fallbacks that follow the page's colour scheme; state is words and shape too.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from textwrap import wrap

from ..model.snapshot import Mode
from .content import PlanContent
from .durations import DAY, MINUTE, billed, duration, in_seconds
from .forecast import MODES

CELLS = 60  # partitions drawn one by one; beyond, neighbours are drawn together
WIDTH = 110  # of the text view; longer sentences are wrapped
SAVINGS = 4  # shown of those that a plan has

ALLOCATIONS = 6  # PUBs whose share of a budget is shown

_CLASSES = {  # by kind, and whether the client prepares it: module, class, and the name it is used by
    ("sampler", False): ("qiskit_ibm_runtime", "SamplerV2", "Sampler"),
    ("sampler", True): ("qiskit_ibm_runtime.executor_sampler", "Sampler", "Sampler"),
    ("estimator", False): ("qiskit_ibm_runtime", "EstimatorV2", "Estimator"),
    ("estimator", True): ("qiskit_ibm_runtime.executor_estimator", "Estimator", "Estimator"),
    ("executor", True): ("qiskit_ibm_runtime", "Executor", "Executor"),
    ("noise-learner", True): ("qiskit_ibm_runtime", "NoiseLearnerV3", "NoiseLearnerV3"),
}

STYLE = """
.qmode-plan{--q-fg:var(--jp-ui-font-color1,CanvasText);--q-dim:var(--jp-ui-font-color2,GrayText);
--q-line:var(--jp-border-color2,color-mix(in srgb,currentColor 25%,transparent));
--q-brand:var(--jp-brand-color1,light-dark(#1976d2,#64b5f6));
--q-warn:var(--jp-warn-color1,light-dark(#b26a00,#ffb74d));--q-error:var(--jp-error-color1,light-dark(#c62828,#ef9a9a));
font:var(--jp-ui-font-size1,13px)/1.45 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--q-fg);
font-variant-numeric:tabular-nums;max-width:1200px;container-type:inline-size}
.qmode-plan h3{font-size:1.25em;margin:0 0 2px;font-weight:600}
.qmode-plan p{margin:2px 0}.qmode-plan .bill{margin:4px 0 6px}.qmode-plan .bill b{font-size:1.9em;font-weight:600}
.qmode-plan .bill .less{border-left:3px solid var(--q-brand);padding-left:8px;margin-left:8px}
.qmode-plan .do{margin:2px 0 8px;padding:4px 8px;border-radius:3px;white-space:pre-wrap;
background:var(--jp-layout-color2,color-mix(in srgb,currentColor 10%,transparent))}
.qmode-plan .do code{font-family:var(--jp-code-font-family,monospace);background:none;padding:0;overflow-wrap:anywhere;
color:var(--q-fg)}.qmode-plan .dim{color:var(--q-dim)}
.qmode-plan .modes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(220px,100%),1fr));
gap:8px;margin:10px 0}
.qmode-plan .mode{border:1px solid var(--q-line);border-radius:4px;padding:8px 10px}
.qmode-plan .mode.advised{border:2px solid var(--q-brand);padding:7px 9px}
.qmode-plan .mode b{font-size:1.1em}.qmode-plan .mode .mark{color:var(--q-brand);float:right}
.qmode-plan .mode .mark.dim{color:var(--q-dim)}
.qmode-plan dl{display:grid;grid-template-columns:auto 1fr;gap:0 10px;margin:6px 0 0}
.qmode-plan dl dt{color:var(--q-dim);float:none;width:auto;display:block;font-weight:400;white-space:nowrap}
.qmode-plan dl dd{margin:0;padding:0;width:auto;display:block;text-align:right}
.qmode-plan .before{margin:8px 0}.qmode-plan .before dd{text-align:left}
.qmode-plan .strip{display:flex;gap:2px;height:16px;margin:4px 0}
.qmode-plan .strip span{background:var(--q-brand);opacity:.55;border-radius:2px;min-width:2px}
.qmode-plan ul{margin:4px 0;padding-left:1.3em}.qmode-plan .warning{color:var(--q-warn)}
.qmode-plan .error{color:var(--q-error)}.qmode-plan details{margin-top:6px}
.qmode-plan summary{cursor:pointer;color:var(--q-dim)}
.qmode-plan table{border-collapse:collapse;font-size:1em;margin:0}.qmode-plan caption{text-align:left;font-weight:600}
.qmode-plan td,.qmode-plan th{text-align:left;vertical-align:top;padding:4px 12px 4px 0;font-weight:400;
border-bottom:1px solid var(--q-line)}.qmode-plan thead th{color:var(--q-dim)}
"""


# --- what both views say -----------------------------------------------------------------------------------------


def do_this(plan: PlanContent) -> tuple[str, str]:
    """The lines of code that carry the plan out, ready to be pasted, and what it comes to in a sentence.

    They use what the user has: `qmode`, `plan` or `comparison`, `backend` and `pubs`; in a loop also the primitive as
    `sampler` or `estimator` and what `variational_loop` takes.
    """
    return "\n".join(_code(plan)), f"{_what(plan)}, ≈ {billed(plan.bill.expected)} billed"


def _what(plan: PlanContent) -> str:
    """In how many jobs, in which mode, how often."""
    jobs = _jobs(len(plan.partitions))
    what = {"job": jobs if len(plan.partitions) > 1 else "one job", "batch": f"a batch of {jobs}"}
    said = what.get(plan.mode, f"a session of {jobs}")
    if plan.iterations > 1:
        said += f" in each of {plan.iterations} steps"
    return said


def _code(plan: PlanContent) -> list[str]:
    kind = plan.work.settings.kind
    pubs = "plan.pubs" if plan.allocation else "pubs"
    name = {"session": "session", "batch": "batch", "job": "jobs"}[plan.mode]
    opened = {"session": "SessionController", "batch": "BatchController", "job": "JobController"}[plan.mode]
    head, inside = f"with qmode.{opened}.open(backend) as {name}:", "    "
    if plan.mode == "job":  # nothing is opened on the service, so nothing is to be closed
        head, inside = f"{name} = qmode.{opened}.open(backend)", ""
    learn = [f"{inside}noise = qmode.learn_noise({name}, estimator, {pubs})"] if plan.learning is not None else []
    if plan.iterations > 1 and kind == "estimator":
        noise = ", noise=noise" if plan.learning is not None else ""
        loop = f"qmode.variational_loop({name}, estimator, ansatz, observable, optimizer, start{noise})"
        return [head, *learn, f"{inside}found, steps = {loop}"]
    if plan.iterations > 1:
        return [
            head,
            f"{inside}for step in range({plan.iterations}):",
            f"{inside}    result = {name}.submit({kind.replace('-', '_')}, {pubs}).result()",
            f"{inside}    # make the next step's PUBs from the result",
        ]
    if plan.labels:
        return ["comparison.run()"]
    if plan.learning is not None:
        return [head, *learn, f"{inside}result = {name}.submit(noise.on(estimator), {pubs}).result()"]
    if plan.submissions[0].primitive is not None:
        return ["plan.run()"]
    module, cls, own = _CLASSES[kind, plan.work.settings.client_side]
    options = plan.work.settings.raw
    given = "" if not options else f", options={options!r}" if isinstance(options, Mapping) else ", options=options"
    return [
        f"from {module} import {cls}" + (f" as {own}" if own != cls else ""),
        f"plan.run({own}(mode=backend{given}))",
    ]


def _first(plan: PlanContent) -> str:
    """What to know before anything else: errors, or a workload of days."""
    if plan.bill.expected >= DAY:
        return f"{duration(plan.bill.expected)} of QPU usage: lower the shots or the parameter sets first."
    if plan.errors:
        rules = ", ".join(dict.fromkeys(f.rule for f in plan.errors))
        return f"{len(plan.errors)} error{'s' * (len(plan.errors) > 1)} to solve first: {rules}."
    return ""


def _headline(plan: PlanContent) -> str:
    """The bill, its interval, the price, in how many jobs."""
    bill, usage = plan.bill, plan.usage.expected
    said = f"≈ {billed(bill.expected)} billed ({bill.low:,.0f}–{bill.high:,.0f} s){_price(plan, plan.mode)}"
    if plan.mode == "session":
        said += f", ≈ {usage:,.0f} s of it on the QPU"
    said += f", in {_jobs(len(plan.partitions))}"
    return said + (f", {plan.iterations} iterations" if plan.iterations > 1 else "")


def _jobs(count: int) -> str:
    return f"{count:,} job" + "s" * (count != 1)


def _price(plan: PlanContent, mode: Mode) -> str:
    price = plan.price(mode)
    return "" if price is None else f", ≈ {price:,.2f} at {plan.price_per_minute:g} a minute"


def _time(value: float | None) -> str:
    return "–" if value is None else duration(value)


def _rows(plan: PlanContent, mode: Mode) -> list[tuple[str, str]]:
    """What is said of a mode. Modes of the same rows are shown once."""
    course = plan.forecasts[mode]
    rows = [
        ("first result", _time(course.first_result)),
        ("last result", _time(course.last_result)),
        ("billed", f"≈ {billed(course.usage)}"),
    ]
    high = plan.conditions.queue_wait_high
    queues_once = not course.reactivations and (mode != "job" or plan.iterations == 1)
    if high is not None and queues_once and course.last_result is not None:
        rows.append(("last, long queue", duration(course.last_result + high - plan.conditions.queue_wait)))
    if course.idle:
        rows.append(("of it idle", f"≈ {duration(course.idle)}"))
    if course.undone:
        rows.append(("of it undone", f"≈ {duration(course.undone)}: {_jobs(course.failed)} fail"))
    if (price := plan.price(mode)) is not None:
        rows.append(("price", f"≈ {price:,.2f}"))
    if plan.iterations > 1:
        queues = plan.iterations if mode == "job" else 1 + course.reactivations
        rows.append(("queues", "once" if queues == 1 else f"{queues} times"))
    elif course.reactivations:
        rows.append(("queues again", f"{course.reactivations} times"))
    if wait := course.qpu_wait:
        rows.append(("waits for QPU", f"≈ {duration(wait)} a job"))
    if "max TTL" in course.hits:
        rows.append(("runs out", "max TTL"))
    if (why := _refusal(plan, mode)) and mode not in _refused(plan):
        rows.append(("refused", why))
    return rows


def _same(plan: PlanContent) -> list[tuple[Mode, ...]]:
    """The modes, grouped where all their rows are equal; the advised one is first in its group."""
    groups: dict[tuple[tuple[str, str], ...], list[Mode]] = {}
    refused = _refused(plan)
    for mode in sorted(MODES, key=lambda m: m != plan.mode):
        key = (*_rows(plan, mode), ("refused", str(mode in refused)))
        groups.setdefault(key, []).append(mode)
    return sorted((tuple(group) for group in groups.values()), key=lambda group: MODES.index(group[0]))


def _refused(plan: PlanContent) -> tuple[Mode, ...]:
    return ("session",) if "no sessions on the Open Plan" in plan.advice.applied else ()


def _refusal(plan: PlanContent, mode: Mode) -> str:
    """Why the service would not take these jobs in a mode; nothing where it would."""
    jobs = plan.submissions[0].jobs
    own = next((c for c in plan.candidates if c.jobs is jobs and c.mode == mode), None)
    return own.refused[0].rule if own is not None and own.refused else ""


def _notes(plan: PlanContent) -> list[tuple[str, str]]:
    """What to mind: level and sentence."""
    items = [(str(f.level), f"{'' if f.job is None else f'Job {f.job}: '}{f.message}") for f in plan.findings]
    items += [("warning", w.text) for w in plan.advice.warnings]
    return items


def _allocated(plan: PlanContent) -> str:
    """What a budget buys, in a sentence; nothing without one."""
    if not plan.allocation:
        return ""
    shown = "; ".join(str(a) for a in plan.allocation[:ALLOCATIONS])
    more = len(plan.allocation) - ALLOCATIONS
    rest = f"; {more} more: plan.allocation" if more > 0 else ""
    return f"Within {billed(plan.budget or 0.0)}: {shown}{rest}."


def _failing(plan: PlanContent) -> str:
    return "" if plan.failures is None else f"Failures: {plan.failures}."


def _assumed(plan: PlanContent) -> list[str]:
    lines = [*plan.forecasts[plan.mode].assumed, *plan.usage.assumed]
    if plan.iterations > 1:
        lines.append(f"{plan.iterations} iterations, {plan.classical:g} s of your own work between them")
    return lines


def _sign(level: str) -> str:
    return "!" if level == "error" else "⚠"


# --- in a notebook -----------------------------------------------------------------------------------------------


def html(plan: PlanContent) -> str:
    """The compact view of a notebook cell: what to do, the modes side by side, partitions, what to mind and to save."""
    e = escape
    code, comes_to = do_this(plan)[0], _what(plan)
    first = _first(plan)
    why = [*(r.text for r in plan.reasons[:2]), *([plan.advice.trade] if plan.advice.trade else [])]
    parts = [
        f"<style>{STYLE}</style><div class='qmode-plan'>",
        f"<p class='error'>! {e(first)}</p>" if first else "",
        f"<p class='bill' title='{e(plan.usage.formula, quote=True)}'>{_large_bill(plan)}</p>",
        f"<p>Do this: <span class='dim'>{e(comes_to)}</span></p><pre class='do'><code>{e(code)}</code></pre>",
        f"<h3>{e(plan.mode.capitalize())} mode on {e(plan.backend)}</h3>",
        *(f"<p>{e(line)}</p>" for line in why),
        f"<p>{e(_allocated(plan))}</p>" if plan.allocation else "",
        "<div class='modes'>",
        *(_card(plan, modes) for modes in _same(plan)),
        "</div>",
        _strip(plan),
        _before(plan),
        _mind(plan),
        _save(plan),
        _details(plan),
        "</div>",
    ]
    return "".join(parts)


def _large_bill(plan: PlanContent) -> str:
    """The figure that decides, once and large, and beside it what the greatest saving would leave of it."""
    seconds = plan.bill.expected
    more = [f"{plan.bill.low:,.0f}–{plan.bill.high:,.0f} s"]
    if seconds >= 2 * MINUTE:
        more.append(duration(seconds))
    if plan.mode == "session":
        more.append(f"{plan.usage.expected:,.0f} s of it on the QPU")
    around = escape(", ".join(more) + _price(plan, plan.mode))
    said = f"<b>≈ {in_seconds(seconds)}</b> billed <span class='dim'>{around}</span>"
    best = max(plan.savings, key=lambda saving: saving.seconds, default=None)
    if best is None or best.bill >= seconds:
        return said
    return f"{said} <span class='less'>or ≈ {billed(best.bill)}: {escape(best.what)}</span>"


def _card(plan: PlanContent, modes: tuple[Mode, ...]) -> str:
    mode, *others = modes
    mark = "<span class='mark'>✓ advised</span>" * (mode == plan.mode)
    mark += "<span class='mark dim'>not on this plan</span>" * (mode in _refused(plan))
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _rows(plan, mode))
    same = " and ".join(f"<b>{m.capitalize()}</b>" for m in others)
    said = plan.reasons[0].text if plan.reasons else ""
    why = [r.text for m in modes for r in plan.advice.against.get(m, ()) if r.text != said][:1]
    notes = f"<p class='dim'>{same}: the same</p>" if same else ""
    notes += "".join(f"<p class='dim'>{escape(line)}</p>" for line in why)
    box = "mode advised" if mode == plan.mode else "mode"
    return f"<div class='{box}'>{mark}<b>{mode.capitalize()}</b><dl>{rows}</dl>{notes}</div>"


def _strip(plan: PlanContent) -> str:
    count = len(plan.partitions)
    per_cell = -(-count // CELLS)
    cells = []
    for start in range(0, count, per_cell):
        group = plan.partitions[start : start + per_cell]
        width = sum(p.expected or 0.0 for p in group)
        name = f"job {start}" if len(group) == 1 else f"jobs {start}–{start + len(group) - 1}"
        if plan.labels:
            name += ": " + ", ".join(plan.labels[start : start + len(group)])
        label = ", ".join(p.label for p in group[:3]) + (", …" if len(group) > 3 else "")
        title = escape(f"{name}: PUBs {label}: ≈ {duration(width)}", quote=True)
        cells.append(f"<span style='flex:{max(width, 1e-6):.6g}' title='{title}'></span>")
    said = f" {escape(plan.division)}" if plan.division else ""
    return f"<p class='dim'>{_jobs(count)} by expected usage.{said}</p><div class='strip'>{''.join(cells)}</div>"


def _before(plan: PlanContent) -> str:
    """The card of what to know before it is sent; nothing for a fake backend, which has no account."""
    card = plan.preflight
    if card.account.instance is None and not card.alarms:
        return ""
    shown = ((name, value) for name, value in card.rows() if name != "bill")  # it is said on top
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in shown)
    alarms = "".join(f"<p class='warning'>⚠ {escape(alarm)}</p>" for alarm in card.alarms)
    return f"<div class='mode before'><b>Before it is sent</b><dl>{rows}</dl>{alarms}</div>"


def _mind(plan: PlanContent) -> str:
    items = _notes(plan)
    shown = "".join(f"<li class='{level}'>{_sign(level)} {escape(message)}</li>" for level, message in items[:12])
    more = f"<li class='dim'>{len(items) - 12} more: plan.findings</li>" if len(items) > 12 else ""
    return f"<ul>{shown}{more}</ul>" if items else ""


def _save(plan: PlanContent) -> str:
    if not plan.savings:
        return ""
    items = "".join(f"<li>{escape(str(s))}</li>" for s in plan.savings[:SAVINGS])
    return f"<p>What would save most</p><ul>{items}</ul>"


def _details(plan: PlanContent) -> str:
    lines = [plan.usage.formula, f"IBM's quick formula: {billed(plan.usage.quick)}", _failing(plan)]
    lines += [f"Chosen for: {plan.chosen_for}"] if plan.chosen_for else []
    lines += [f"Would change it: {c}" for c in plan.advice.changes]
    lines += [f"Assumed: {a}" for a in _assumed(plan)]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines if line)
    return f"<details><summary>How it comes about</summary><ul class='dim'>{items}</ul></details>"


# --- in a terminal -----------------------------------------------------------------------------------------------


def text(plan: PlanContent) -> str:
    """The same for a terminal."""
    code, comes_to = do_this(plan)
    first = _first(plan)
    out = [f"! {first}"] if first else []
    out += [f"Do this: {comes_to}", *(f"    {line}" for line in code.splitlines()), ""]
    out += _wrapped("", f"{plan.mode.upper()} mode on {plan.backend}: {_headline(plan)}")
    lines = (*(r.text for r in plan.reasons), plan.advice.trade or "", _allocated(plan), plan.division)
    for line in lines:
        out += _wrapped("+ ", line)
    out += ["", *_table(plan), ""]
    if plan.preflight.account.instance is not None or plan.preflight.alarms:
        out += [f"  {line}" for line in str(plan.preflight).splitlines()]
    for level, message in _notes(plan):
        out += _wrapped(f"{_sign(level)} ", message)
    if plan.savings:
        out.append("  What would save most:")
    for saving in plan.savings[:SAVINGS]:
        out += _wrapped("- ", str(saving))
    for change in plan.advice.changes:
        out += _wrapped("? ", f"would change it: {change}")
    out += _wrapped("= ", plan.usage.formula)
    out += _wrapped("= ", _failing(plan))
    if plan.chosen_for:
        out += _wrapped("~ ", f"chosen for: {plan.chosen_for}")
    for note in _assumed(plan):
        out += _wrapped("~ ", f"assumed: {note}")
    return "\n".join(out)


def _wrapped(sign: str, line: str) -> list[str]:
    """A sentence of any length, indented behind its sign."""
    return (
        wrap(line, WIDTH, initial_indent=f"  {sign}", subsequent_indent=" " * (2 + len(sign)))
        if sign
        else wrap(line, WIDTH, subsequent_indent="  ")
    )


def _table(plan: PlanContent) -> list[str]:
    """The modes side by side; a column is as wide as its longest cell."""
    groups = _same(plan)
    tables = [dict(_rows(plan, modes[0])) for modes in groups]
    marks = {plan.mode: "* {}"} | dict.fromkeys(_refused(plan), "{} (not on this plan)")
    heads = [", ".join(marks.get(m, "{}").format(m) for m in modes) for modes in groups]
    names = list(dict.fromkeys(name for rows in tables for name in rows))
    grid = [["", *heads], *([name, *(rows.get(name, "") for rows in tables)] for name in names)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    return [
        "  " + row[0].ljust(widths[0]) + "".join(cell.rjust(w + 3) for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in grid
    ]

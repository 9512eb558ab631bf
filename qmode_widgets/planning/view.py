"""A plan as HTML for a notebook cell and as text for a terminal. Whatever came from outside is escaped.

Colours are JupyterLab's variables with fallbacks that follow the page's colour scheme; state is words and shape too.
"""

from __future__ import annotations

from html import escape

from ..model.snapshot import Mode
from .forecast import MODES
from .plan import Plan

CELLS = 60  # partitions drawn one by one; beyond, neighbours are drawn together

_STYLE = """
.qmode-plan{--q-fg:var(--jp-ui-font-color1,CanvasText);--q-dim:var(--jp-ui-font-color2,GrayText);
--q-line:var(--jp-border-color2,color-mix(in srgb,currentColor 25%,transparent));
--q-brand:var(--jp-brand-color1,light-dark(#1976d2,#64b5f6));
--q-warn:var(--jp-warn-color1,light-dark(#b26a00,#ffb74d));--q-error:var(--jp-error-color1,light-dark(#c62828,#ef9a9a));
font:var(--jp-ui-font-size1,13px)/1.45 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--q-fg);
font-variant-numeric:tabular-nums;max-width:1200px;container-type:inline-size}
.qmode-plan h3{font-size:1.25em;margin:0 0 2px;font-weight:600}
.qmode-plan p{margin:2px 0}.qmode-plan .dim{color:var(--q-dim)}
.qmode-plan .modes{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:8px;margin:10px 0}
@container(max-width:560px){.qmode-plan .modes{grid-template-columns:1fr}}
.qmode-plan .mode{border:1px solid var(--q-line);border-radius:4px;padding:8px 10px}
.qmode-plan .mode.advised{border:2px solid var(--q-brand);padding:7px 9px}
.qmode-plan .mode b{font-size:1.1em}.qmode-plan .mode .mark{color:var(--q-brand);float:right}
.qmode-plan .mode .mark.dim{color:var(--q-dim)}
.qmode-plan dl{display:grid;grid-template-columns:auto 1fr;gap:0 10px;margin:6px 0 0}
.qmode-plan dl dt{color:var(--q-dim);float:none;width:auto;display:block;font-weight:400;white-space:nowrap}
.qmode-plan dl dd{margin:0;padding:0;width:auto;display:block;text-align:right}
.qmode-plan .strip{display:flex;gap:2px;height:16px;margin:4px 0}
.qmode-plan .strip span{background:var(--q-brand);opacity:.55;border-radius:2px;min-width:2px}
.qmode-plan ul{margin:4px 0;padding-left:1.3em}.qmode-plan .warning{color:var(--q-warn)}
.qmode-plan .error{color:var(--q-error)}.qmode-plan details{margin-top:6px}
.qmode-plan summary{cursor:pointer;color:var(--q-dim)}
"""


def seconds(value: float | None) -> str:
    """0:16, 7:41:08; – for unknown."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def html(plan: Plan) -> str:
    """The compact view of a notebook cell: advice, the three modes side by side, partitions, what to mind."""
    e = escape
    low, high = plan.usage.low, plan.usage.high
    steps = f", {plan.iterations} iterations" if plan.iterations > 1 else ""
    parts = [
        f"<style>{_STYLE}</style><div class='qmode-plan'>",
        f"<h3>{e(plan.mode.capitalize())} mode on {e(plan.backend)}</h3>",
        *(f"<p>{e(r.text)}</p>" for r in plan.reasons[:2]),
        f"<p title='{e(plan.usage.formula)}'>≈ <b>{plan.usage.expected:,.0f} s</b> of QPU usage "
        f"({low:,.0f}–{high:,.0f} s){_price(plan, plan.mode)} in {_jobs(len(plan.partitions))}{steps}</p>",
        "<div class='modes'>",
        *(_mode(plan, mode) for mode in MODES),
        "</div>",
        _strip(plan),
        _notes(plan),
        _details(plan),
        "</div>",
    ]
    return "".join(parts)


def _jobs(count: int) -> str:
    return f"{count} job" + "s" * (count != 1)


def _price(plan: Plan, mode: Mode) -> str:
    price = plan.price(mode)
    return "" if price is None else f", ≈ {price:,.2f} at {plan.price_per_minute:g} a minute"


def _rows(plan: Plan, mode: Mode) -> list[tuple[str, str]]:
    course = plan.forecasts[mode]
    rows = [
        ("first result", seconds(course.first_result)),
        ("last result", seconds(course.last_result)),
        ("usage", f"≈ {course.usage:,.0f} s"),
    ]
    if mode == "session":
        rows.append(("idle, billed", f"≈ {course.idle:,.0f} s"))
    if (price := plan.price(mode)) is not None:
        rows.append(("price", f"≈ {price:,.2f}"))
    rows.append(("lanes in use", f"{course.lanes_used} of {plan.conditions.lanes}"))
    if course.reactivations:
        rows.append(("queues again", f"{course.reactivations} times"))
    if course.failed:
        rows.append(("fail", _jobs(course.failed)))
    if course.hits:
        rows.append(("runs out", ", ".join(course.hits)))
    return rows


def _mode(plan: Plan, mode: Mode) -> str:
    advised = mode == plan.mode
    refused = mode == "session" and "no sessions on the Open Plan" in plan.advice.applied
    mark = "<span class='mark'>✓ advised</span>" * advised + "<span class='mark dim'>not on this plan</span>" * refused
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _rows(plan, mode))
    why = plan.advice.against.get(mode, ())
    said = f"<p class='dim'>{escape(why[0].text)}</p>" if why else ""
    return f"<div class='mode{' advised' * advised}'>{mark}<b>{mode.capitalize()}</b><dl>{rows}</dl>{said}</div>"


def _strip(plan: Plan) -> str:
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
        title = escape(f"{name}: PUBs {label}: ≈ {width:,.1f} s", quote=True)
        cells.append(f"<span style='flex:{max(width, 1e-6):.6g}' title='{title}'></span>")
    return f"<p class='dim'>{_jobs(count)} by expected usage</p><div class='strip'>{''.join(cells)}</div>"


def _notes(plan: Plan) -> str:
    items = [
        (str(f.level), f"{_sign(f.level)} {'' if f.job is None else f'Job {f.job}: '}{f.message}")
        for f in plan.findings
    ]
    items += [("warning", f"{_sign('warning')} {w.text}") for w in plan.advice.warnings]
    if plan.advice.disagreement:
        items.append(("warning", f"{_sign('warning')} {plan.advice.disagreement}"))
    shown = "".join(f"<li class='{level}'>{escape(message)}</li>" for level, message in items[:12])
    more = f"<li class='dim'>{len(items) - 12} more: plan.findings</li>" if len(items) > 12 else ""
    return f"<ul>{shown}{more}</ul>" if items else ""


def _sign(level: str) -> str:
    return "!" if level == "error" else "⚠"


def _details(plan: Plan) -> str:
    lines = [plan.usage.formula, f"IBM's quick formula: {plan.usage.quick:,.0f} s"]
    lines += [f"Would change it: {c}" for c in plan.advice.changes]
    lines += [f"Assumed: {a}" for a in (*plan.forecasts[plan.mode].assumed, *plan.usage.assumed)]
    if plan.iterations > 1:
        lines.append(f"Assumed: {plan.iterations} iterations, {plan.classical:g} s of your own work between them")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<details><summary>How it comes about</summary><ul class='dim'>{items}</ul></details>"


def text(plan: Plan) -> str:
    """The same for a terminal."""
    out = [
        f"{plan.mode.upper()} mode on {plan.backend}: ≈ {plan.usage.expected:,.0f} s of QPU usage "
        f"({plan.usage.low:,.0f}–{plan.usage.high:,.0f} s){_price(plan, plan.mode)} in {_jobs(len(plan.partitions))}"
        + (f", {plan.iterations} iterations" if plan.iterations > 1 else "")
    ]
    out += [f"  + {r.text}" for r in plan.reasons]
    table = {mode: dict(_rows(plan, mode)) for mode in MODES}
    names = list(dict.fromkeys(name for rows in table.values() for name in rows))
    out.append("")
    out.append(" " * 16 + "".join(f"{('* ' if m == plan.mode else '') + m:>18}" for m in MODES))
    out += [f"  {name:<14}" + "".join(f"{table[m].get(name, ''):>18}" for m in MODES) for name in names]
    out.append("")
    out += [f"  {_sign(f.level)} {'' if f.job is None else f'job {f.job}: '}{f.message}" for f in plan.findings]
    out += [f"  {_sign('warning')} {w.text}" for w in plan.advice.warnings]
    if plan.advice.disagreement:
        out.append(f"  {_sign('warning')} {plan.advice.disagreement}")
    out.append(f"  = {plan.usage.formula}")
    return "\n".join(out)

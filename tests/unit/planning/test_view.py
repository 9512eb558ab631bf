"""What a plan says, in a terminal and in a notebook."""

import ast
import importlib
import re

import numpy as np
import pytest
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.planning.compare import compare
from qmode_widgets.planning.durations import billed, duration
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.view import do_this

AROUND = {"queue_wait": 600, "instance_plan": "premium", "usage_left": 1e9}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.25, "0.25 s"), (2.44, "2.4 s"), (48.4, "48 s"), (119.4, "119 s"), (344, "5 min 44 s"),
     (600, "10 min"), (3599.6, "1 h"), (12_345, "3 h 26 min"), (77_000, "21 h 23 min"), (1_051_695, "12.2 days")],
)  # fmt: skip
def test_durations_in_words(seconds, said):
    assert duration(seconds) == said


def test_bills_keep_their_seconds():
    assert billed(344) == "344 s (5 min 44 s)"
    assert billed(48) == "48 s"
    assert billed(77_000) == "77,000 s (21 h 23 min)"


def test_what_to_do_comes_first(backend, bell):
    assert str(plan([bell], backend)).splitlines()[:3] == [
        "Do this: one job, ≈ 3.0 s billed",
        "    from qiskit_ibm_runtime import SamplerV2 as Sampler",
        "    plan.run(Sampler(mode=backend))",
    ]
    own = plan([bell], backend, Sampler(backend))
    assert str(own).splitlines()[1] == "    plan.run()"
    assert own._repr_html_().index("plan.run()") < own._repr_html_().index("<h3>")
    grid = [{"default_shots": 10}, {"default_shots": 20}]
    assert str(compare(grid, [bell], backend, Sampler).plan).splitlines()[1] == "    comparison.run()"


def test_errors_come_before_what_to_do(backend, bell):
    lines = str(plan([bell], backend, usage_left=0)).splitlines()
    assert lines[0] == "! 1 error to solve first: usage left."
    assert lines[1].startswith("Do this: ")


def test_a_session_of_steps_is_spelt_out(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    found = str(plan(pubs, backend, "estimator", iterative=3, **AROUND))
    assert "    with qmode.SessionController.open(backend) as session:\n" in found
    assert "found, steps = qmode.variational_loop(session, " in found
    pec = {"resilience": {"pec_mitigation": True}}
    found = str(plan(pubs, backend, "estimator", pec, iterative=3, noise_model="learned once", **AROUND))
    assert "        noise = qmode.learn_noise(session, estimator, pubs)\n" in found


def test_every_line_of_code_can_be_pasted(backend, bell, sampled, ansatz, observable):
    """It is Python, it uses public names only, and nothing that the user does not have."""
    vqe = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    pec = {"resilience": {"pec_mitigation": True}}
    plans = [
        plan([bell], backend),
        plan([bell], backend, "executor_sampler", {"default_shots": 100}),
        plan([(bell, None, 100)] * 3, backend, partitions=3),
        plan([bell], backend, Sampler(backend)),
        plan(vqe, backend, "estimator"),
        plan(vqe, backend, "estimator", budget=30),
        plan(vqe, backend, "estimator", iterative=3, prefer="cheapest"),
        plan(vqe, backend, "executor_estimator", iterative=3, exclusive=True),
        plan(vqe, backend, "estimator", pec, iterative=3, noise_model="learned once"),
        plan(vqe, backend, "estimator", pec, noise_model="learned once"),
        plan([(sampled, [0.1])], backend, iterative=3),
        plan([(sampled, [0.1])], backend, iterative=3, exclusive=True),
        plan([(sampled, [0.1])], backend, iterative=3, budget=20),
        compare([{"default_shots": 10}, {"default_shots": 20}], [bell], backend, Sampler).plan,
    ]
    given = {"qmode", "plan", "comparison", "backend", "pubs", "sampler", "estimator", "ansatz", "observable"}
    given |= {"optimizer", "start", "range"}
    for found in plans:
        tree = ast.parse(do_this(found)[0])
        made = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        imported = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert used <= given | made | imported, do_this(found)[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "qmode":
                assert node.attr in qmode.__all__
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_modes_that_come_to_the_same_are_said_once(backend, ansatz, observable):
    found = plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", iterative=20, **AROUND)
    assert re.search(r"^ +job, batch +\* session$", str(found), re.MULTILINE)
    shown = found._repr_html_()
    assert "<b>Batch</b>: the same" in shown
    assert shown.count("<dl>") == 2
    assert shown.count("✓ advised") == 1


def test_the_bill_is_large_and_beside_it_what_the_greatest_saving_leaves(backend, sampled):
    found = plan([(sampled, np.zeros((200, 1)), 4096)], backend, price_per_minute=96, **AROUND)
    head = re.search(r"<p class='bill'.*?</p>", found._repr_html_())[0]
    assert f"<b>≈ {found.bill.expected:,.0f} s</b> billed" in head
    assert "at 96 a minute" in head
    best = max(found.savings, key=lambda saving: saving.seconds)
    assert f"or ≈ {best.bill:,.0f} s" in head
    assert best.what in head


def test_assumptions_are_in_the_text_too(backend, bell):
    found = plan([bell], backend, queue_wait=600)
    text = " ".join(str(found).split())
    notes = found.forecasts[found.mode].assumed
    assert len(notes) > 3
    for note in notes:
        assert f"assumed: {note}" in text


def test_no_number_is_written_with_an_exponent(backend, bell, sampled):
    big = plan([(sampled, np.zeros((100_000, 1)), 4096)], backend, price_per_minute=96, max_ttl=1e7, **AROUND)
    small = plan([(bell, None, 1)], backend, price_per_minute=96, **AROUND)
    for found in (big, small, big.usage, big.forecasts["session"]):
        assert not re.search(r"\d[eE][+-]?\d", str(found))


def test_columns_hold_and_long_sentences_are_wrapped(backend, bell, sampled):
    found = plan([(sampled, np.zeros((100_000, 1)))], backend, partitions=100, queue_wait=600)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 120
    start = next(i for i, line in enumerate(lines) if "* job" in line)
    rows = lines[start : start + lines[start:].index("")]
    assert len(rows) > 4
    assert len({len(row.rstrip()) for row in rows if row.strip().startswith(("billed", "last"))}) == 1


def test_short_jobs_are_seen_in_a_figure_of_hours(backend, ansatz, observable):
    found = plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", iterative=20, **AROUND)
    figure = found.figure()
    on_qpu = next(t for t in figure.data if t.name == "on the QPU")
    assert len(on_qpu.x) == 20
    assert on_qpu.marker.line.width >= 1
    assert on_qpu.marker.line.color == on_qpu.marker.color
    assert {"1 h", "2 h"} <= set(figure.layout.xaxis2.ticktext)


def test_waiting_for_the_qpu_is_a_phase_of_its_own(backend, sampled):
    found = plan([(sampled, np.linspace(0, 1, 300)[:, None], 4096)], backend, queue_wait=600, partitions=5)
    waits = [t for t in found.figure().data if t.name == "waiting for the QPU"]
    assert [len(t.x) for t in waits] == [4, 4]
    assert "waits for QPU" in str(found)

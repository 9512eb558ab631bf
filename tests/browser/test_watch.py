"""A notebook that knows nothing of us, after one more cell: `qmode.watch()`."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser import probes
from tests.browser.conftest import Open

SERVICE = """
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
import qmode_widgets.emulator
account = qmode_widgets.emulator.start(shared=False, speed=float("inf"))
account.faults.pause()
service = account.service
"""
WATCH = "import qmode_widgets as qmode\nqmode.watch(usage_cap=30)"

# Unmodified, as IBM's guide to batches has it; only the service comes from the cell above.
CIRCUITS = """
from qiskit_ibm_runtime import Batch, SamplerV2 as Sampler
backend = service.least_busy()
circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
isa_circuit = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
"""
BATCH = """
with Batch(backend=backend, max_time="25m"):
    sampler = Sampler()
    jobs = [sampler.run([isa_circuit]) for _ in range(3)]
"""
RESULT = "print(type(jobs[2]).__name__, jobs[2].result())"
REST = "account.faults.resume()\nprint([len(job.result()) for job in jobs[:2]])"
MORE = """
with Batch(backend=backend):
    sampler = Sampler()
    for _ in range(40):
        sampler.run([isa_circuit]).result()
"""


def test_an_unmodified_batch_shows_counts_down_is_cancelled_and_capped(open_notebook: Open) -> None:
    book = open_notebook(SERVICE, WATCH, CIRCUITS, BATCH, RESULT, REST, MORE)
    for cell in (1, 2, 3, 4):
        book.run(cell)
        assert "Error" not in book.output(cell)
    side = book.sidebar()
    entry = side.locator("[data-entry]").first
    expect(entry).to_be_visible()
    entry.locator(".qm-title1").click()
    card = side.locator(".qm-card").first
    expect(card.locator("tr[data-key]")).to_have_count(3)
    expect(card.locator("tr[data-state=running]")).to_have_count(3)
    left = card.get_by_role("timer").first.inner_text()
    expect(card.get_by_role("timer").first).not_to_have_text(left)
    expect(card).to_contain_text("30 s")  # the cap

    book.run(5, wait=False)  # the kernel waits in the client's own result()
    book.page.wait_for_function(probes.BUSY)
    last = card.locator("tr[data-key]").nth(2)
    last.locator("[data-action=cancel]").click()
    card.locator("[data-confirm=yes]").click()
    expect(last).to_have_attribute("data-state", "cancelled")
    book.wait_done(5)
    assert "was cancelled" in book.output(5)
    book.screenshot("watch-cancelled-light")
    book.theme("dark")
    book.screenshot("watch-cancelled-dark")
    book.theme("light")

    book.run(6)
    assert "[1, 1]" in book.output(6)
    book.run(7, timeout=120_000)
    # Which one depends on how far the bills were read: the cap is reached, leaves too little, or has cut a job.
    assert any(why in book.output(7) for why in ("usage cap", "the cap leaves", "maximum execution time"))
    finished = side.get_by_role("button", name="Finished today")
    if finished.get_attribute("aria-expanded") != "true":
        finished.click()
    expect(side).to_contain_text("cap")
    book.screenshot("watch-capped")
    assert book.errors == []

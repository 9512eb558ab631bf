"""Plans and the guide's examples, from the estimate to the merged result, through the real client."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.control.job import JobController
from qmode_widgets.control.modes import BatchController, SessionController
from qmode_widgets.errors import PlanError, SubmissionError
from qmode_widgets.ibm.account import account
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.planning import calibration
from qmode_widgets.planning.compare import compare, learn_noise, variational_loop
from qmode_widgets.planning.limits import is_open_plan
from qmode_widgets.planning.plan import before_sending, plan

TIMEOUT = 120


@pytest.fixture(scope="module")
def turned(backend):
    """One qubit turned by θ, not measured: ⟨Z⟩ = cos θ."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("θ"), 0)
    return generate_preset_pass_manager(1, backend, seed_transpiler=1).run(circuit)


@pytest.fixture(scope="module")
def measured(backend):
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("θ"), 0)
    circuit.measure_all()
    return generate_preset_pass_manager(1, backend, seed_transpiler=1).run(circuit)


@pytest.fixture(scope="module")
def z(turned):
    return SparsePauliOp("Z").apply_layout(turned.layout)


def test_a_plan_runs_as_a_batch_and_merges_one_split_pub(emulator, backend, measured):
    angles = np.linspace(0, np.pi, 20).reshape(4, 5, 1)
    sampler = Sampler(mode=backend)
    sampler.options.default_shots = 400
    planned = plan([(measured, angles)], backend, sampler, partitions=3, queue_wait=0)
    assert planned.mode == "batch"
    assert planned.errors == ()
    assert planned.work.rep_delay == pytest.approx(250e-6)  # of the real client's backend object, in seconds
    assert planned.work.timing.assumed == ()
    controller = planned.run()
    assert isinstance(controller, BatchController)
    result = controller.result(timeout=TIMEOUT)
    assert len(controller.jobs) == 3
    assert len(result) == 1
    assert result[0].data.shape == (4, 5)
    ones = np.array([[result[0].data.meas[i, j].get_counts().get("1", 0) / 400 for j in range(5)] for i in range(4)])
    np.testing.assert_allclose(ones, np.sin(angles[..., 0] / 2) ** 2, atol=0.15)
    ran = [part for chunk in result.metadata["executor"].chunk_timing for part in chunk.parts]
    assert {part.idx_item for part in ran} == {0}  # three jobs, one PUB of the whole
    assert sum(part.size for part in ran) == 20
    controller.close()


def test_a_small_plan_runs_in_job_mode(emulator, backend, bell):
    sampler = Sampler(mode=backend)
    planned = plan([(bell, None, 100)], backend, sampler)
    assert planned.mode == "job"
    controller = planned.run()
    assert isinstance(controller, JobController)
    assert set(controller.result(timeout=TIMEOUT)[0].data.meas.get_counts()) <= {"00", "11"}


def test_running_a_plan_with_other_options_is_said(emulator, backend, bell):
    planned = plan([(bell, None, 100)], backend, "executor_sampler")
    twirled = Sampler(mode=backend)
    twirled.options.twirling.enable_measure = True
    with pytest.warns(UserWarning, match="twirl_measure False in the plan, True now"):
        controller = planned.run(twirled)
    assert controller.wait(timeout=TIMEOUT)


def test_what_the_service_says_of_waiting_is_the_wait(emulator, backend, bell):
    planned = plan([(bell, None, 100)], backend)
    assert "what the service says jobs waited" in planned.conditions.why_wait
    told = account(backend).wait
    assert planned.conditions.queue_wait == told["p50"]


def test_the_account_tells_its_plan_and_what_is_left(emulator, backend, bell):
    paid = account(backend)
    assert paid.plan is not None
    assert not is_open_plan(paid.plan)
    free = emulator.connect("emulator-open").backend(backend.name)
    assert is_open_plan(account(free).plan)
    assert account(free).left is not None
    assert account(free).left <= 600
    planned = plan([(bell, None, 4_000_000)], free)
    assert {"usage left"} <= {f.rule for f in planned.errors}
    assert plan([(bell, None, 100)] * 2, free, exclusive=True).mode != "session"


def test_estimator_split_along_its_parameters(emulator, backend, turned, z):
    angles = np.linspace(0, np.pi, 12).reshape(12, 1)
    estimator = Estimator(mode=backend)
    estimator.options.resilience_level = 0
    planned = plan([(turned, [[z], [-z]], angles)], backend, estimator, partitions=2)
    controller = planned.run()
    data = controller.result(timeout=TIMEOUT)[0].data
    assert data.evs.shape == (2, 12)
    np.testing.assert_allclose(data.evs[0], np.cos(angles[:, 0]), atol=0.12)
    np.testing.assert_allclose(data.evs[1], -np.cos(angles[:, 0]), atol=0.12)
    controller.close()


def test_comparing_settings_is_one_job_each_in_a_batch(emulator, backend, turned, z):
    grid = {"none": {"resilience_level": 0}, "readout": {"resilience_level": 1}}
    base = Estimator(mode=backend)
    base.options.default_precision = 0.01
    comparison = compare(grid, [(turned, z, [0.0]), (turned, z, [np.pi])], backend, base)
    assert comparison.plan.mode == "batch"
    assert comparison.plan.partitions[1].expected > comparison.plan.partitions[0].expected
    assert base.options.resilience_level == 1  # the user's object is as it was
    with pytest.raises(RuntimeError, match="call run"):
        comparison.results()
    controller = comparison.run()
    assert isinstance(controller, BatchController)
    results = comparison.results(timeout=TIMEOUT)
    assert list(results) == ["none", "readout"]
    for result in results.values():
        assert [float(np.squeeze(pub.data.evs)) for pub in result] == pytest.approx([1, -1], abs=0.2)
    assert [j.label for j in controller.jobs] == ["none", "readout"]  # the rows name the setting
    assert controller.wait_until(lambda shot: shot.usage.status == "final", TIMEOUT)
    billed = [job.usage.reported for job in controller.jobs]
    assert [usage.reported for usage in comparison.costs.values()] == billed
    assert f"  readout  {billed[1]:.1f} s\n" in repr(comparison)
    figure = comparison.figure(results, reference=[1, -1])
    assert [(t.name, len(t.x)) for t in figure.data if t.xaxis == "x"] == [
        ("none", 2), ("readout", 2), ("without noise", 2)
    ]  # fmt: skip
    assert [(t.name, t.y) for t in figure.data if t.xaxis == "x2"] == [
        ("none", (billed[0],)),
        ("readout", (billed[1],)),
    ]
    with pytest.raises(ValueError, match="3 values for 2 results"):
        comparison.figure(results, reference=[1, 2, 3])
    controller.close()


REFUSED = {"resilience": {"pec_mitigation": True}}  # by the client: PEC needs a noise model


def test_a_refused_submission_closes_the_workload_that_was_opened_for_it(emulator, backend, turned, z):
    estimator = Estimator(mode=backend)
    planned = plan([(turned, z, [0.0]), (turned, z, [1.0])], backend, estimator, partitions=2)
    estimator.options.resilience.pec_mitigation = True
    opened = []
    with pytest.warns(UserWarning, match="pec"), pytest.raises(SubmissionError, match="noise model"):
        planned.run(opened=opened.append)
    assert opened[0].snapshot().jobs == ()
    assert opened[0].refresh().accepting_jobs is False


def test_a_comparison_keeps_what_was_sent_before_a_setting_is_refused(emulator, backend, turned, z):
    comparison = compare({"plain": {"resilience_level": 0}, "pec": REFUSED}, [(turned, z, [0.0])], backend, Estimator)
    with pytest.raises(PlanError, match="layer_noise_model"):
        comparison.run()  # nothing is opened
    assert comparison.controller is None
    with pytest.raises(SubmissionError, match="noise model") as refused:
        comparison.run(force=True)
    controller = comparison.controller
    assert list(comparison.runs) == ["plain"]
    assert any(controller.id in note for note in refused.value.__notes__)
    assert comparison.runs["plain"].result(timeout=TIMEOUT)[0].data.evs == pytest.approx(1, abs=0.2)
    assert controller.refresh().accepting_jobs is False


def test_the_plan_of_a_comparison_runs_too(emulator, backend, turned, z):
    comparison = compare([{"resilience_level": 0}, {}], [(turned, z, [0.0])], backend, Estimator)
    controller = comparison.plan.run()
    assert controller.wait(timeout=TIMEOUT)
    assert [j.state for j in controller.jobs] == [JobState.DONE] * 2
    with pytest.raises(ValueError, match="brings its own primitive"):
        comparison.plan.run(Estimator(mode=backend))
    controller.close()


@pytest.mark.filterwarnings("ignore:The EstimatorV2 class is deprecated:DeprecationWarning")
def test_comparing_with_a_primitive_of_any_kind(backend, turned, z):
    grid, pubs = {"none": {"resilience_level": 0}, "trex": {"resilience_level": 1}}, [(turned, z, [0.0])]
    legacy = EstimatorV2(mode=backend)
    legacy.options.default_shots = 100
    for primitive in (EstimatorV2, legacy, Estimator, "estimator"):
        none, trex = compare(grid, pubs, backend, primitive).plan.partitions
        assert trex.expected > none.expected
    assert legacy.options.resilience_level is not None
    with pytest.raises(ValueError, match="pass the primitive"):
        compare(grid, pubs, backend, "estimator").run()


def test_compare_refuses_what_it_cannot_tell_apart(backend, turned, z):
    with pytest.raises(ValueError, match="no settings"):
        compare({}, [(turned, z, [0.0])], backend, Estimator)
    with pytest.raises(ValueError, match="two settings are the same"):
        compare([{"resilience_level": 0}] * 2, [(turned, z, [0.0])], backend, Estimator)


def test_a_variational_loop_in_a_session(emulator, backend, turned, z):
    def descend(cost, start):
        at = start
        for _ in range(4):  # parameter-shift gradient descent
            gradient = (cost(at + np.pi / 2) - cost(at - np.pi / 2)) / 2
            at = at - 0.9 * gradient
        return at

    session = SessionController.open(backend)
    estimator = Estimator(mode=session.primitive_mode)
    estimator.options.resilience_level = 0
    try:
        best, steps = variational_loop(session, estimator, turned, z, descend, [1.0], timeout=TIMEOUT)
    finally:
        session.close()
    assert np.cos(best[0]) < -0.6
    assert len(steps) == 8
    assert [s.value for s in steps] == pytest.approx([np.cos(s.parameters[0]) for s in steps], abs=0.2)
    assert [j.group for j in session.jobs] == [f"step {i}" for i in range(8)]
    assert [j.state for j in session.jobs] == [JobState.DONE] * 8
    with pytest.raises(ValueError, match="3 start values for 1 parameters"):
        variational_loop(session, estimator, turned, z, descend, [1.0, 2.0, 3.0])


def test_noise_is_learned_once_and_reused_with_its_age(emulator, backend):
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("θ"), 0)
    circuit.cz(0, 1)
    isa = generate_preset_pass_manager(1, backend, initial_layout=[0, 1], seed_transpiler=1).run(circuit)
    pubs = [(isa, SparsePauliOp("ZI").apply_layout(isa.layout), [0.3])]
    session = SessionController.open(backend)
    estimator = Estimator(mode=session.primitive_mode)
    estimator.options.resilience.pec_mitigation = True
    estimator.options.default_precision = 0.1
    learner = {"num_randomizations": 2, "shots_per_randomization": 8, "layer_pair_depths": [0, 1]}
    try:
        with pytest.raises(ValueError, match="no noise model"):
            learn_noise(session, Estimator(mode=session.primitive_mode), pubs)
        noise = learn_noise(session, estimator, pubs, options=learner, timeout=TIMEOUT)
        assert len(noise.layers) == len(noise.maps) == 1
        primitive = noise.on(estimator)
        assert estimator.options.resilience.layer_noise_model is None  # the user's own is as it was
        assert plan(pubs, backend, primitive).work.settings.learns_layers is False
        session.submit(primitive, pubs).result(timeout=TIMEOUT)
        session.submit(primitive, pubs).result(timeout=TIMEOUT)
        assert session.wait_until(lambda _: noise.age is not None, TIMEOUT)
    finally:
        session.close()
    assert noise.age >= 0
    assert f"learned by job {noise.job_id}" in str(noise)
    assert len(session.jobs) == 3  # one of them learned


# --- before it is sent -------------------------------------------------------------------------------------------


def test_the_card_names_the_instance_and_what_it_costs(emulator, backend, bell):
    paid = plan([(bell, None, 100)], backend, Sampler(mode=backend)).preflight
    assert paid.paid is True
    assert paid.account.status == "active"
    assert "paid time" in str(paid)
    free_backend = emulator.connect("emulator-open").backend(backend.name)
    free = plan([(bell, None, 100)], free_backend, Sampler(mode=free_backend))
    assert free.preflight.paid is False
    assert "emulator-open (open: free)" in str(free)
    assert "Before it is sent" in free._repr_html_()


def test_the_card_of_a_submission_is_of_its_workloads_mode(emulator, backend, bell):
    sampler = Sampler(mode=backend)
    job = before_sending(sampler, [(bell, None, 100_000)])
    session = before_sending(sampler, [(bell, None, 100_000)], 1, mode="session")
    assert (job.mode, session.mode) == ("job", "session")
    assert session.bill.expected > job.bill.expected  # the clock
    assert before_sending(sampler, [bell], shots=10).bill.expected < job.bill.expected


def test_when_seconds_of_the_open_plan_come_back(emulator, bell):
    backend = emulator.connect("emulator-open").backend("emu_fez")
    planned = plan([(bell, None, 100)], backend, Sampler(mode=backend))
    controller = planned.run()
    controller.result(timeout=TIMEOUT)
    day, seconds = plan([bell], backend).before_sending().returns[0]
    assert seconds >= sum(j.usage.reported for j in controller.jobs)
    assert 27 <= (day - datetime.now(UTC).date()).days <= 28


def test_the_service_gives_its_opinion_where_it_is_offered(emulator, bell):
    backend = emulator.connect("emulator-premium").backend("emu_fez")
    planned = plan([(bell, None, 20_000)], backend, Sampler(mode=backend), instance_plan="premium")
    card = planned.before_sending(dry_run=True)
    (opinion,) = card.dry_runs
    assert opinion.refused is None
    assert opinion.service == pytest.approx(opinion.ours, abs=1)
    assert "dry run of job 0" in str(card)


def test_a_refused_dry_run_is_an_answer(emulator, backend, bell):
    card = plan([(bell, None, 100)], backend, Sampler(mode=backend)).before_sending(dry_run=True)
    (opinion,) = card.dry_runs
    assert opinion.service is None
    assert "Flex, Premium" in str(card)


def test_one_learns_from_ones_own_bills(emulator, backend, bell, turned, z, monkeypatch):
    monkeypatch.setattr(calibration, "_known", {})
    runs = JobController.open(backend)
    sampler, estimator = Sampler(mode=backend), Estimator(mode=backend)
    estimator.options.default_precision = 0.01
    for shots in (20_000, 40_000):
        runs.submit(sampler, [(bell, None, shots)])
    runs.submit(estimator, [(turned, z, [0.3])])
    assert runs.wait(timeout=TIMEOUT)
    assert runs.wait_until(lambda state: all(j.usage.reported for j in state.jobs), TIMEOUT)
    own = calibration.calibrate(backend)
    assert own.jobs >= 3
    assert own.factor == pytest.approx(1, abs=0.1)  # the embedded service bills by nearly the same formula
    assert "jobs of your own" in str(plan([(bell, None, 10_000)], backend))
    assert calibration.known(backend) == own

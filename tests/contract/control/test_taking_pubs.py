"""PUBs, primitives and times as users write them: what cannot work is said before anything is sent."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BackendSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_ibm_runtime import EstimatorV2, SamplerV2

import qmode_widgets as qmode
from qmode_widgets.control.modes import seconds_of
from qmode_widgets.errors import SubmissionError

from ..conftest import legacy


@pytest.fixture
def jobs(backend, emulator):
    return qmode.JobController.open(backend)


@pytest.fixture
def batch(backend, emulator):
    controller = qmode.BatchController.open(backend)
    yield controller
    controller.end(running=False)


@pytest.fixture(scope="module")
def theta(isa):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("θ"), 0)
    circuit.measure_all()
    return isa(circuit)


@pytest.mark.parametrize("make", [StatevectorSampler, StatevectorEstimator, AerSampler, BackendSamplerV2])
def test_a_primitive_of_somebody_elses_is_named(jobs, backend, rotations, make):
    primitive = make(backend=backend) if make is BackendSamplerV2 else make()
    with pytest.raises(SubmissionError, match=f"{make.__name__} is not a qiskit-ibm-runtime primitive"):
        jobs.submit(primitive, rotations(1))


@pytest.mark.parametrize("partitions", ["auto", 1])
def test_no_pub_is_no_pub(jobs, sampler, backend, rotations, partitions):
    with pytest.raises((SubmissionError, ValueError), match="PUB 1"):
        jobs.submit(sampler(backend), [rotations(1)[0], None], partitions=partitions)
    assert jobs.jobs == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("partitions", ["auto", 2])
def test_a_value_that_is_no_number_is_named_with_its_pub(jobs, sampler, backend, theta, value, partitions):
    values = np.array([[0.1], [value]])
    with pytest.raises(SubmissionError, match=r"PUB 1: the parameter θ has the value (nan|inf)"):
        jobs.submit(sampler(backend), [(theta, [0.5]), (theta, values)], partitions=partitions)
    assert jobs.jobs == ()


def test_a_pub_without_its_parameters_is_named(jobs, sampler, backend, theta):
    with pytest.raises(SubmissionError, match="PUB 1"):
        jobs.submit(sampler(backend), [(theta, [0.5]), theta], partitions=1)


@pytest.mark.parametrize("partitions", ["auto", 1, [qmode.Partition((qmode.Piece(0),))]])
@pytest.mark.parametrize("registers", [(2,), (2, 2)])
def test_a_circuit_that_measures_nothing_is_not_sent(jobs, sampler, backend, isa, emulator, partitions, registers):
    circuit = QuantumCircuit(*registers)
    circuit.x(0)
    emulator.faults.forget_requests()
    with pytest.raises(SubmissionError, match=r"PUB 0.*measure"):
        jobs.submit(sampler(backend), [isa(circuit)], partitions=partitions)
    assert not [r for r in emulator.faults.requests() if r[0] == "POST"]


def test_a_measurement_inside_a_block_is_one(jobs, backend, isa):
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 0)):
        circuit.measure(0, 0)
    run = jobs.submit(legacy(SamplerV2, mode=backend), [isa(circuit)], partitions=1)
    assert run.jobs
    run.wait(60)


def test_a_delay_with_a_parameter_is_said_to_be_one(jobs, sampler, backend, isa):
    circuit = QuantumCircuit(1)
    circuit.delay(Parameter("t"), 0, "dt")
    circuit.measure_all()
    run = jobs.submit(sampler(backend), [(isa(circuit), [[0], [250_000]])], partitions=1)
    assert run.wait(60)
    assert "a delay has a parameter" in run.jobs[0].note


# --- shots that are overridden by options ----------------------------------------------------------------------------

TWIRLING = {
    "both": (100, 40),
    "randomizations": (10, "auto"),
    "shots each": ("auto", 64),
    "neither": ("auto", "auto"),
}


@pytest.mark.parametrize("service_side", [False, True])
@pytest.mark.parametrize("given", TWIRLING)
def test_twirled_shots_split_into_jobs_are_those_of_the_whole(batch, sampler, bell, given, service_side):
    primitive = legacy(SamplerV2, mode=batch.primitive_mode) if service_side else sampler(batch.primitive_mode)
    pubs = [(bell, None, 1000)]
    twirling = primitive.options.twirling
    twirling.enable_gates = True
    twirling.num_randomizations, twirling.shots_per_randomization = TWIRLING[given]
    whole = batch.submit(primitive, pubs, partitions=1)
    shots = whole.result(60)[0].data.meas.num_shots
    third = shots // 3
    parts = [qmode.Partition((qmode.Piece(0, shots=n),)) for n in (third, third, shots - 2 * third)]
    run = batch.submit(primitive, pubs, partitions=parts)
    assert run.result(60)[0].data.meas.num_shots == shots
    assert sum(j.usage.reported for j in run.jobs) < sum(j.usage.reported for j in whole.jobs) + 3 * 2.5
    assert (twirling.num_randomizations, twirling.shots_per_randomization) == TWIRLING[given]


def test_more_jobs_than_randomizations_are_refused(backend, emulator, sampler, bell):
    jobs = qmode.JobController.open(backend)
    primitive = sampler(backend)
    primitive.options.twirling.enable_gates = True
    primitive.options.twirling.num_randomizations, primitive.options.twirling.shots_per_randomization = 2, 100
    parts = [qmode.Partition((qmode.Piece(0, shots=n),)) for n in (70, 70, 60)]
    with pytest.raises(SubmissionError, match="2 twirling randomizations cannot be split into 3 jobs"):
        jobs.submit(primitive, [bell], partitions=parts)


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90),
        ("90", 90),
        (89.5, 90),
        ("1h30m", 5400),
        ("2h 30m 40s", 9040),
        ("1d", 86400),
        (" 25m ", 1500),
        (None, None),
    ],
)
def test_a_time_is_read(given, seconds):
    assert seconds_of(given) == seconds


@pytest.mark.parametrize("given", ["1.5h", "1h 30", 0, "0", "", "-5", -5, "h", "an hour", True, float("nan"), "30m1h"])
def test_a_time_that_cannot_be_read_names_the_forms(given, backend):
    with pytest.raises(qmode.QmodeError, match="1h30m"):
        qmode.BatchController.open(backend, max_time=given)


def test_the_service_gets_the_time_that_was_meant(backend, emulator):
    batch = qmode.BatchController.open(backend, max_time="1h30m")
    batch.end(running=False)
    assert batch.ttl.max_ttl == 5400


@pytest.mark.parametrize("opens", [qmode.BatchController.open, qmode.SessionController.open, qmode.JobController.open])
def test_a_backends_name_is_not_a_backend(opens):
    with pytest.raises(qmode.QmodeError, match=r"service.backend\('ibm_fez'\)"):
        opens("ibm_fez")


def test_an_estimators_pub_without_observables_is_named(jobs, backend, theta):
    with pytest.raises((SubmissionError, ValueError), match="PUB 0"):
        jobs.submit(legacy(EstimatorV2, mode=backend), [theta], partitions=1)

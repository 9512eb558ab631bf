"""`NoiseLearner`, version 2, through the real client: deprecated, and still in notebooks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import EstimatorV2
from qiskit_ibm_runtime.noise_learner import NoiseLearner
from qiskit_ibm_runtime.options import EstimatorOptions, NoiseLearnerOptions

from qmode_widgets.emulator import start

from .test_workloads import ask

pytestmark = pytest.mark.filterwarnings("ignore:The (NoiseLearner|EstimatorV2) class is deprecated:DeprecationWarning")


def legacy(kind, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return kind(**kwargs)


def chain(*pairs: tuple[int, int]) -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    for pair in pairs:
        circuit.cz(*pair)
    return circuit


@pytest.fixture(scope="module")
def noisy():
    with start(shared=False, speed=float("inf"), noise=True, backends="emu_fez", workers=1) as running:
        yield running


def learn(emulator, circuits, **options):
    backend = emulator.service.backend("emu_fez")
    return legacy(NoiseLearner, mode=backend, options=NoiseLearnerOptions(**options)).run(circuits).result()


@pytest.mark.parametrize(
    ("strategy", "qubits"),
    [
        ("active", [[0, 1], [2, 3], [1, 2]]),
        ("active-accum", [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3]]),
        ("active-circuit", [[0, 1, 2, 3]] * 3),
        ("all", [[0, 1, 2, 3]] * 3),
    ],
)
def test_layers_are_twirled_by_each_strategy(noisy, strategy, qubits):
    """Two gates in a row on two qubits, then one between them: three layers, each once."""
    circuit = chain((0, 1))
    circuit.barrier()
    circuit.cz(2, 3)
    circuit.barrier()
    circuit.cz(1, 2)
    if strategy in ("active-circuit", "all"):
        found = learn(noisy, [circuit], twirling_strategy=strategy, max_layers_to_learn=None)
    else:
        found = learn(noisy, [circuit], twirling_strategy=strategy)
    assert sorted(layer.qubits for layer in found.data) == sorted(qubits)
    for layer in found.data:
        assert layer.error.num_qubits == layer.circuit.num_qubits == len(layer.qubits)
        assert [inst.operation.name for inst in layer.circuit.data] == ["cz"]


def test_the_most_frequent_layers_are_learned_and_gates_that_can_run_together_do(noisy):
    often, once = chain((0, 1), (2, 3)), chain((1, 2))
    found = learn(noisy, [often, often, once], max_layers_to_learn=1)
    (layer,) = found.data
    assert layer.qubits == [0, 1, 2, 3]
    assert layer.circuit.size() == 2
    rates = layer.error.rates
    assert np.all(rates >= 0)
    assert 0 < rates.sum() < 0.2
    assert found.metadata["input_options"]["max_layers_to_learn"] == 1


def test_an_estimator_takes_what_was_learned(noisy):
    backend = noisy.service.backend("emu_fez")
    circuit = chain((0, 1))
    learned = learn(noisy, [circuit])
    options = EstimatorOptions()
    options.resilience.layer_noise_model = learned.data
    wide = QuantumCircuit(backend.num_qubits)
    wide.compose(circuit, range(4), inplace=True)
    observable = SparsePauliOp("I" * (backend.num_qubits - 1) + "Z")
    result = legacy(EstimatorV2, mode=backend, options=options).run([(wide, observable)]).result()
    (model,) = result.metadata["resilience"]["layer_noise_model"]
    assert model.error.rates.tolist() == learned.data[0].error.rates.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"circuits": []}, "circuits must be a list"),
        ({"options": {"max_layers_to_learn": -1}}, "max_layers_to_learn"),
        ({"options": {"layer_pair_depths": ["a"]}}, "layer_pair_depths"),
        ({"options": {"twirling_strategy": "none"}}, "twirling_strategy must be one of"),
        ({"options": {"nope": 1}}, "options have no 'nope'"),
    ],
)
def test_what_cannot_be_learned_is_refused(noisy, change, words):
    text = 'OPENQASM 3.0; include "stdgates.inc"; cz $0, $1;'
    params = {"version": 2, "circuits": [text], "options": {}, **change}
    body = {"program_id": "noise-learner", "backend": "emu_fez", "params": params}
    refused = ask(noisy, "POST", "/jobs", json=body)
    assert refused.status_code == 400
    assert words in refused.json()["errors"][0]["message"]

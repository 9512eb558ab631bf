"""Broadcasting and grouping, whatever the shapes: the number of circuits is the one the client prepares."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_ibm_runtime.executor_estimator.prepare import prepare
from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

from qmode_widgets.planning.usage import estimate_usage

BACKEND = GenericBackendV2(3, basis_gates=["cz", "rz", "sx", "x"], seed=1)
CIRCUIT = QuantumCircuit(3)
CIRCUIT.sx(0)
CIRCUIT.rz(Parameter("x"), 0)
CIRCUIT.cz(0, 1)
CIRCUIT.rz(Parameter("y"), 1)

dims = st.lists(st.integers(1, 3), max_size=3)
terms = st.dictionaries(st.text("IXYZ", min_size=3, max_size=3), st.floats(0.1, 1), min_size=1, max_size=4)


@st.composite
def pubs(draw):
    whole = draw(dims)
    parameters = [draw(st.sampled_from([1, n])) for n in whole]
    observables = [n if p == 1 else draw(st.sampled_from([1, n])) for n, p in zip(whole, parameters, strict=True)]
    parameters = parameters[draw(st.integers(0, len(parameters))) :]
    observables = observables[draw(st.integers(0, len(observables))) :]

    def nested(shape):
        return [nested(shape[1:]) for _ in range(shape[0])] if shape else draw(terms)

    values = np.linspace(0, 1, 2 * math.prod(parameters)).reshape(*parameters, 2)
    return CIRCUIT, nested(observables), values


options = st.fixed_dictionaries(
    {"resilience_level": st.sampled_from([0, 1, 2]), "default_shots": st.sampled_from([1, 100, 4096, 10_000])},
    optional={
        "twirling": st.fixed_dictionaries(
            {},
            optional={
                "enable_gates": st.booleans(),
                "num_randomizations": st.sampled_from(["auto", 1, 7, 32]),
                "shots_per_randomization": st.sampled_from(["auto", 1, 64, 100]),
            },
        ),
        "resilience": st.fixed_dictionaries(
            {},
            optional={
                "measure_noise_learning": st.fixed_dictionaries({"num_randomizations": st.sampled_from(["auto", 3])}),
                "zne": st.fixed_dictionaries({"noise_factors": st.sampled_from(["auto", (1, 2), (1, 1.5, 2, 3)])}),
            },
        ),
    },
)


@settings(max_examples=120, deadline=None)
@given(st.lists(pubs(), min_size=1, max_size=2), options)
def test_executions_are_those_of_the_clients_preparation(found, chosen):
    own = EstimatorOptions(**chosen)
    program, _ = prepare(found, own, backend=BACKEND)
    usage = estimate_usage(found, BACKEND, "executor_estimator", chosen)
    executed = sum(math.prod(i.shape) for i in program.items) * program.shots
    assert usage.executions + usage.learning_executions == executed
    assert estimate_usage(found, BACKEND, "executor_estimator", own).executions == usage.executions

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliLindbladMap, SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, Executor, SamplerV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_estimator.prepare import prepare as prepare_estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.executor_sampler.prepare import prepare as prepare_sampler
from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions
from qiskit_ibm_runtime.options_models.sampler import SamplerOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram

from qmode_widgets.model.timing import OVERHEAD, RANDOMIZED
from qmode_widgets.planning.usage import counted_usage, estimate_usage
from qmode_widgets.planning.work import PubError

RNG = np.random.default_rng(5)


def executed(program):
    """Executions of what the client itself prepares."""
    return sum(math.prod(item.shape) for item in program.items) * program.shots


@pytest.fixture(scope="module")
def estimator_pubs(ansatz, observable):
    o = observable
    return {
        "one set": [(ansatz, o("ZZ", "XX", "ZI"), [0.1, 0.2])],
        "broadcast": [(ansatz, [[o("ZZ")], [o("XX", "YI")], [o("ZI")]], RNG.random((1, 5, 2)))],
        "zipped": [(ansatz, [o("ZZ"), o("XX"), o("ZI")], RNG.random((3, 2)))],
        "mixed": [(ansatz, [[o("ZZ"), o("XX"), o("ZI")], [o("ZZ"), o("ZI"), o("YY")]], RNG.random((1, 3, 2)))],
        "two PUBs": [(ansatz, o("ZZ"), RNG.random((4, 3, 2))), (ansatz, [o("XX"), o("IZ")], [0.1, 0.2])],
    }


@pytest.mark.parametrize("shape", ["one set", "broadcast", "zipped", "mixed", "two PUBs"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resilience_level": 0},
        {"resilience_level": 2},
        {"default_precision": 0.1},
        {"twirling": {"num_randomizations": 7}},
        {"resilience": {"measure_noise_learning": {"num_randomizations": 5}}},
    ],
    ids=str,
)
def test_estimator_executions_are_those_the_client_prepares(backend, estimator_pubs, shape, options):
    pubs, options = estimator_pubs[shape], EstimatorOptions(**options)
    program, _ = prepare_estimator(pubs, options, backend=backend)
    usage = estimate_usage(pubs, backend, "executor_estimator", options)
    assert usage.executions + usage.learning_executions == executed(program)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"default_shots": 100},
        {"twirling": {"enable_measure": True, "num_randomizations": 3}},
        {"twirling": {"enable_gates": True, "shots_per_randomization": 300}},
    ],
    ids=str,
)
def test_sampler_executions_are_those_the_client_prepares(backend, sampled, options):
    pubs, options = [(sampled, RNG.random((4, 3, 1)), 777), (sampled, [0.2], 777)], SamplerOptions(**options)
    program, _ = prepare_sampler(pubs, options, backend=backend)
    assert estimate_usage(pubs, backend, "executor_sampler", options).executions == executed(program)


def test_formula_by_hand(backend, bell):
    usage = estimate_usage([(bell, None, 10_000)], backend)
    length = bell.estimate_duration(backend.target)
    work = 10_000 * (250e-6 + 3 * 1584e-9 + length)
    assert usage.expected == math.ceil(OVERHEAD + work)  # bills are whole seconds
    assert usage.breakdown.rounding == pytest.approx(usage.expected - OVERHEAD - work)
    assert usage.breakdown.total == pytest.approx(usage.expected)
    assert usage.quick == pytest.approx(2 + 3.5)
    assert usage.low <= usage.expected <= usage.high
    assert usage.low == int(usage.low)
    assert usage.high == int(usage.high)
    assert "10,000 executions" in usage.formula


def test_high_is_never_under_the_quick_formula_for_samplers(backend, bell):
    for options in ({}, {"execution": {"rep_delay": 1e-6}}, {"execution": {"init_qubits": False}}):
        for shots in (1, 1000, 5_000_000):
            usage = estimate_usage([(bell, None, shots)], backend, "sampler", options)
            assert usage.high >= 2 + 0.00035 * shots


def test_rep_delay_and_initialisation(backend, bell):
    pub = [(bell, None, 100_000)]
    usual = estimate_usage(pub, backend)
    fast = estimate_usage(pub, backend, options={"execution": {"rep_delay": 1e-6}})
    bare = estimate_usage(pub, backend, options={"execution": {"init_qubits": False}})
    assert usual.breakdown.rep_delay - fast.breakdown.rep_delay == pytest.approx(100_000 * 249e-6)
    assert usual.expected - fast.expected == pytest.approx(100_000 * 249e-6, abs=1)
    assert usual.breakdown.initialisation == pytest.approx(100_000 * 3 * 1584e-9)
    assert bare.breakdown.initialisation == 0


def test_legacy_estimator_learns_its_readout_at_any_shots(backend, ansatz, observable):
    for precision in (0.1, 0.01):
        pubs = [(ansatz, observable("ZZ"), [0.1, 0.2], precision)]
        assert estimate_usage(pubs, backend, "estimator").learning_executions == 32_768
        none = estimate_usage(pubs, backend, "estimator", {"resilience_level": 0})
        assert none.learning_executions == 0


def test_zne_runs_every_noise_factor_and_folding_makes_circuits_longer(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    plain = estimate_usage(pubs, backend, "estimator", {"resilience_level": 1})
    zne = estimate_usage(pubs, backend, "estimator", {"resilience_level": 2})
    amplified = {"resilience_level": 2, "resilience": {"zne": {"amplifier": "pea"}}}
    pea = estimate_usage(pubs, backend, "estimator", amplified)
    assert zne.executions == pea.executions == 3 * plain.executions
    assert zne.pubs[0].length > plain.pubs[0].length == pea.pubs[0].length
    assert pea.learning_executions > zne.learning_executions  # layers as well


def test_layers_are_not_learned_when_a_noise_model_is_given(backend, ansatz, observable):
    options = {"resilience_level": 2, "resilience": {"zne": {"amplifier": "pea"}, "layer_noise_model": ["a model"]}}
    usage = estimate_usage([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", options)
    assert usage.learning_executions == 32_768


def test_pec_costs_its_sampling_overhead_up_to_the_cap(backend, ansatz, observable):
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])]
    plain = estimate_usage(pubs, backend, "estimator")
    pec = estimate_usage(pubs, backend, "estimator", {"resilience": {"pec_mitigation": True}})
    capped = estimate_usage(
        pubs, backend, "estimator", {"resilience": {"pec_mitigation": True, "pec": {"max_overhead": 1.0}}}
    )
    assert plain.executions < pec.executions <= 100 * plain.executions
    assert capped.executions == plain.executions
    assert pec.pubs[0].high > 10 * pec.pubs[0].expected
    assert any("PEC" in a for a in pec.assumed)


def test_pec_with_a_noise_model_is_counted_as_the_client_prepares_it(backend, transpile):
    circuit = QuantumCircuit(4)
    for _ in range(3):
        circuit.rx(0.2, range(4))
        circuit.cz(0, 1)
        circuit.cz(2, 3)
        circuit.cz(1, 2)
    manager = generate_preset_pass_manager(1, backend, initial_layout=[0, 1, 2, 3], seed_transpiler=1)
    isa = manager.run(circuit)
    pubs = [(isa, SparsePauliOp("ZZZZ").apply_layout(isa.layout))] * 2
    estimator = Estimator(backend)
    estimator.options.resilience.pec_mitigation = True
    layers = estimator.find_unique_layers(pubs)
    noise = [
        PauliLindbladMap.from_sparse_list([("XX", [0, 1], 0.002), ("Z", [0], 0.001)], num_qubits=len(layer.qubits))
        for layer in layers
    ]
    estimator.options.resilience.layer_noise_model = list(zip(layers, noise, strict=True))
    program, _ = prepare_estimator(pubs, estimator.options, backend=backend)
    usage = estimate_usage(pubs, backend, estimator)
    assert usage.executions + usage.learning_executions == executed(program)
    assert usage.executions > 2 * 4096


@pytest.mark.filterwarnings("ignore:The (SamplerV2|EstimatorV2) class is deprecated:DeprecationWarning")
def test_primitive_objects_bring_their_options(backend, bell, ansatz, observable):
    sampler = SamplerV2(backend)
    sampler.options.default_shots = 123
    assert estimate_usage([bell], backend, sampler).executions == 123
    client_side = Sampler(backend)
    client_side.options.default_shots = 456
    assert estimate_usage([bell], backend, client_side).executions == 456
    legacy, executor = EstimatorV2(backend), Estimator(backend)
    for primitive in (legacy, executor):
        primitive.options.resilience_level = 0
        assert estimate_usage([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, primitive).learning_executions == 0
    assert sampler.options.default_shots == 123


def test_executor_programs(backend, bell, sampled):
    program = QuantumProgram(shots=100)
    program.append_circuit_item(bell)
    program.append_circuit_item(sampled, circuit_arguments=RNG.random((7, 1)))
    for primitive in ("executor", Executor(backend)):
        assert estimate_usage([program], backend, primitive).executions == 800
        assert estimate_usage(program, backend, primitive).executions == 800


def test_identical_circuits_are_timed_once(backend, bell, monkeypatch):
    calls = []
    original = QuantumCircuit.estimate_duration
    monkeypatch.setattr(QuantumCircuit, "estimate_duration", lambda self, *a: calls.append(1) or original(self, *a))
    estimate_usage([(bell, None, n) for n in range(1, 200)], backend)
    assert len(calls) == 1


def test_counts_only():
    from qiskit_ibm_runtime.fake_provider import FakeTorino

    usage = counted_usage(FakeTorino(), 12_288, learning_executions=32_768)
    assert usage.expected == 14  # as was billed
    assert usage.jobs == 1
    assert counted_usage(FakeTorino(), 12_288, jobs=3).breakdown.overhead == pytest.approx(3 * OVERHEAD)
    shallow, deep = (counted_usage(FakeTorino(), 12_288, depth=depth) for depth in (0, 100_000))
    assert deep.expected > shallow.expected
    assert deep.high - deep.expected > shallow.high - shallow.expected + 1  # how dense the gates are is not known


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nothing", "no PUBs"),
        ("abstract", r"PUB 1: not an ISA circuit of fake_fez: instruction 'h'"),
        ("too wide", r"PUB 1: not an ISA circuit of fake_fez: 200 qubits"),
        ("far apart", r"PUB 1: not an ISA circuit of fake_fez: 'cz' on qubits \(0, 100\)"),
        ("unbound", "PUB 1: .*parameters"),
        ("zero shots", "PUB 1: .*shots"),
        ("measures nothing", "PUB 1: the circuit measures nothing"),
        ("no circuit", "PUB 1: "),
    ],
)
def test_what_is_wrong_with_which_pub(backend, bell, sampled, case, message):
    abstract, wide, far, empty = QuantumCircuit(2, 1), QuantumCircuit(200, 1), QuantumCircuit(156, 1), QuantumCircuit(1)
    abstract.h(0)
    wide.measure(0, 0)
    far.cz(0, 100)
    bad = {
        "abstract": abstract, "too wide": wide, "far apart": far, "unbound": sampled, "zero shots": (bell, None, 0),
        "measures nothing": empty, "no circuit": "text",
    }  # fmt: skip
    pubs = [] if case == "nothing" else [bell, bad[case]]
    with pytest.raises(ValueError, match=message) as caught:
        estimate_usage(pubs, backend)
    if case != "nothing":
        assert isinstance(caught.value, PubError)
        assert caught.value.pub == 1


def test_mismatched_observables_name_their_pub(backend, ansatz):
    with pytest.raises(PubError, match="PUB 0"):
        estimate_usage([(ansatz, "ZZ", [0.1, 0.2])], backend, "estimator")
    with pytest.raises(PubError, match=r"PUB 0: .*broadcast"):
        estimate_usage([(ansatz, ["Z" * 156, "X" * 156], RNG.random((3, 2)))], backend, "estimator")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default_shots": 0}, "default_shots=0"),
        ({"default_shots": -5}, "default_shots=-5"),
        ({"execution": {"rep_delay": -1}}, "rep_delay=-1"),
        ({"execution": {"rep_delay": 1.0}}, r"rep_delay=1 s: fake_fez takes 0 to 0.0005 s"),
        ({"twirling": {"num_randomizations": 0}}, "num_randomizations=0"),
        ({"resiliense": {}}, "did you mean 'resilience'"),
        ({"twirling": {"enable_gate": True}}, "did you mean 'twirling.enable_gates'"),
        ({"max_execution_time": math.inf}, "max_execution_time=inf"),
        ("level 3", "options of type str"),
    ],
)
def test_absurd_options_are_refused(backend, bell, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_usage([bell], backend, "sampler", options)


def test_other_absurdities(backend, bell, ansatz, observable):
    with pytest.raises(ValueError, match="shots=0"):
        estimate_usage([bell], backend, shots=0)
    with pytest.raises(ValueError, match="resilience_level=7"):
        estimate_usage([(ansatz, observable("ZZ"), [0, 0])], backend, "estimator", {"resilience_level": 7})
    with pytest.raises(ValueError, match=r"precision=-0\.1"):
        estimate_usage([(ansatz, observable("ZZ"), [0, 0])], backend, "estimator", precision=-0.1)
    with pytest.raises(ValueError, match="unknown primitive 'samplr'"):
        estimate_usage([bell], backend, "samplr")
    with pytest.raises(ValueError, match="is not a primitive"):
        estimate_usage([bell], backend, object())


def test_a_backend_without_durations_is_refused(bell):
    from qiskit_aer import AerSimulator

    with pytest.raises(ValueError, match="no instruction durations"):
        estimate_usage([bell], AerSimulator())
    with pytest.raises(ValueError, match="pass the backend object"):
        estimate_usage([bell], "ibm_fez")


def test_noise_learners(backend, bell):
    from qiskit.circuit import CircuitInstruction
    from qiskit.circuit.library import CZGate

    layer = CircuitInstruction(CZGate(), bell.qubits[:2])
    usage = estimate_usage([layer, layer], backend, "noise-learner")
    assert usage.executions == 2 * 9 * 6 * 32 * 128
    small = estimate_usage([layer], backend, "noise-learner", {"num_randomizations": 4, "shots_per_randomization": 16})
    assert small.executions == 9 * 6 * 4 * 16
    legacy = estimate_usage([bell], backend, "noise-learner")  # a circuit: its layers are found by the learner
    assert legacy.low < legacy.expected < legacy.high


def test_text_says_range_and_formula(backend, bell):
    text = str(estimate_usage([(bell, None, 10_000)], backend))
    assert "≈" in text
    assert "rep_delay" in text
    assert estimate_usage([bell], backend).cost(60.0)[1] == pytest.approx(estimate_usage([bell], backend).expected)


@pytest.mark.parametrize("pubs", [None, 3, "abc"])
def test_what_is_no_list_of_pubs(backend, bell, pubs):
    with pytest.raises(ValueError, match="is not a list of PUBs"):
        estimate_usage(pubs, backend)
    with pytest.raises(ValueError, match="is not a list of PUBs"):
        estimate_usage(bell, backend)


def test_pubs_without_parameter_sets_or_observables(backend, sampled, ansatz):
    with pytest.raises(PubError, match="PUB 0: no parameter sets"):
        estimate_usage([(sampled, np.zeros((0, 1)))], backend)
    with pytest.raises(PubError, match="PUB 0: no observables"):
        estimate_usage([(ansatz, [], [0.1, 0.2])], backend, "estimator")


def test_observables_that_pubs_share_are_read_once_and_parameters_still_checked(backend, ansatz, observable):
    o = observable("ZZ", "XX")
    usage = estimate_usage([(ansatz, o, [0.1, 0.2]), (ansatz, o, RNG.random((3, 2))), (ansatz, o, [0, 0], 0.1)],
                           backend, "estimator", {"resilience_level": 0})  # fmt: skip
    assert [p.executions for p in usage.pubs] == [2 * 4096, 6 * 4096, 2 * 100]
    with pytest.raises(PubError, match="PUB 1: 3 parameter values for the 2 parameters"):
        estimate_usage([(ansatz, o, [0.1, 0.2]), (ansatz, o, {("a", "b", "c"): [1, 2, 3]})], backend, "estimator")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_layers_without_a_limit(backend, bell):
    from qiskit_ibm_runtime.options import NoiseLearnerOptions

    four = estimate_usage([bell], backend, "noise-learner", NoiseLearnerOptions())
    unlimited = estimate_usage([bell], backend, "noise-learner", NoiseLearnerOptions(max_layers_to_learn=None))
    assert four.expected == unlimited.expected
    assert unlimited.high > 1.5 * four.high
    one = estimate_usage([bell], backend, "noise-learner", {"max_layers_to_learn": 1})
    assert one.high < four.high


def test_the_commonest_job_is_billed_two_seconds(backend, bell):
    """One circuit of 1,000 to 1,500 shots: 26 of 29 published bills are 2 s; 2,048 and more 3 s."""
    assert [estimate_usage([(bell, None, shots)], backend).expected for shots in (1000, 1024, 1500)] == [2, 2, 2]
    assert [estimate_usage([(bell, None, shots)], backend).expected for shots in (2048, 4096)] == [3, 3]


def test_randomised_circuits_are_those_that_the_client_prepares(backend, sampled, ansatz, observable):
    values = np.linspace(0, 1, 5)[:, None]
    options = SamplerOptions()
    options.twirling.enable_gates = True
    program, _ = prepare_sampler([_sampler_pub(sampled, values, 3000)], options, backend=backend)
    usage = estimate_usage([(sampled, values, 3000)], backend, "executor_sampler", options)
    assert usage.breakdown.randomized == pytest.approx(RANDOMIZED * sum(math.prod(i.shape) for i in program.items))
    plain = estimate_usage([(sampled, values, 3000)], backend, "executor_sampler")
    assert plain.breakdown.randomized == 0


def _sampler_pub(circuit, values, shots):
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    return SamplerPub.coerce((circuit, values, shots))


def test_twirling_a_job_costs_its_randomised_circuits(backend, ansatz, observable):
    """36 PUBs of 4,096 shots, twirled and mitigated, were billed 52 s; without a term for randomisations it is 49."""
    pubs = [(ansatz, observable("ZZ"), [0.1, 0.2])] * 36
    usage = estimate_usage(pubs, backend, "estimator", {"resilience_level": 1})
    circuits = 36 * 32
    assert usage.breakdown.randomized == pytest.approx(RANDOMIZED * circuits)
    assert usage.breakdown.readout > RANDOMIZED * 32
    assert estimate_usage(pubs, backend, "estimator", {"resilience_level": 0}).breakdown.randomized == 0


def test_the_interval_of_pea_holds_what_tutorials_state(usage_table):
    found = [r for r in usage_table.others() if "PEA" in (r.data["options"] or "")]
    assert len(found) == 3
    for row in found:
        assert row.ours.low <= row.billed[0] <= 2.2 * row.ours.expected  # counts only: `job_usage` widens for PEA


def test_pea_says_that_its_interval_is_wide(backend, ansatz, observable):
    options = {"resilience": {"zne_mitigation": True, "zne": {"amplifier": "pea"}}}
    usage = estimate_usage([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", options)
    assert usage.high >= 2.2 * usage.expected
    assert any("PEA" in note for note in usage.assumed)

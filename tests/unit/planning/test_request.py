"""Odd input is refused where it comes in: one tree of errors, with the value and what to give instead."""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qmode_widgets.errors import ArgumentError, PubError, QmodeError
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.planning.backends import compare_backends
from qmode_widgets.planning.compare import compare
from qmode_widgets.planning.forecast import Conditions, Wait, conditions
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.splitting import partition
from qmode_widgets.planning.usage import counted_usage, estimate_usage

NAN, INF = math.nan, math.inf
ARGUMENTS = [
    *(("usage_left", v) for v in ("600", -1, NAN, INF, True, [600], {})),
    *(("price_per_minute", v) for v in ("96", -1, NAN, INF, False, [1])),
    *(("iterative", v) for v in ("50", 2.5, 0, -3, NAN, [50], None)),
    *(("partitions", v) for v in ("many", 2.5, 0, -1, True, "5", [5], None, NAN)),
    *(("classical", v) for v in ("10", -1, NAN, INF, True)),
    *(("queue_wait", v) for v in ("600", -1, NAN, INF, True, [600], {"p50": 1})),
    *(("inputs_ready", v) for v in ("no", 1, None)),
    *(("exclusive", v) for v in ("yes", 2, None)),
    *(("instance_plan", v) for v in ("opne", "free", "", 3, True)),
    *(("noise_model", v) for v in ("once", True, 1)),
    *(("calibration", v) for v in ("yes", 1.1)),
    *(("prefer", v) for v in ("fast", None, 1)),
    *(("hour_worth", v) for v in ("50", -1, NAN)),
    *(("deadline", v) for v in ("noon", -1, NAN, True, [])),
    *(("budget", v) for v in ("60", 0, -1, NAN, INF, True)),
    *(("shots", v) for v in ("100", 0, -1, 2.5, NAN, True)),
    *(("max_ttl", v) for v in ("600", -1, NAN, None, True)),
    *(("lanes", v) for v in ("5", 0, 2.5, NAN, True)),
    *(("interactive_ttl", v) for v in ("60", -1, INF)),
    *(("per_minute", v) for v in ("5", 0, -1, NAN)),
    *(("burst", v) for v in (0, 1.5, "3")),
    *(("preparation", v) for v in ("4", -1, NAN)),
]


@pytest.mark.parametrize(("name", "value"), ARGUMENTS, ids=lambda v: str(v)[:20])
def test_an_argument_that_makes_no_sense_is_named_with_its_value(backend, bell, name, value):
    with pytest.raises(ArgumentError) as error:
        plan([bell], backend, **{name: value})
    said = str(error.value)
    assert said.startswith(f"{name}=")
    assert repr(value)[:20] in said
    assert ":" in said.removeprefix(f"{name}={value!r}")  # what to give instead
    assert isinstance(error.value, QmodeError)
    assert isinstance(error.value, ValueError)


def test_there_are_many_of_them():
    assert len(ARGUMENTS) >= 95


def test_numpy_numbers_are_numbers(backend, bell, sampled):
    found = plan([bell], backend, usage_left=np.float64(600), queue_wait=np.int64(60), price_per_minute=np.float32(96))
    assert found.preflight.left == 600
    assert len(plan([bell] * 4, backend, partitions=np.int64(2)).partitions) == 2
    assert plan([(sampled, [0.1])], backend, iterative=np.int32(3)).iterations == 3


def test_a_misspelled_argument_names_the_nearest(backend, bell):
    with pytest.raises(ArgumentError, match="queue_wiat=60 is not known here"):
        plan([bell], backend, queue_wiat=60)
    with pytest.raises(ArgumentError, match="did you mean 'interactive_ttl'"):
        plan([bell], backend, interactive_tll=60)


@pytest.mark.parametrize("name", ["Open Plan", "open", "Pay-as-you-go", "Pay As You Go", "premium", "Flex Plan"])
def test_plans_by_their_names(backend, bell, name):
    assert plan([bell], backend, instance_plan=name).preflight.plan == name


# --- PUBs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_parameter_values_must_be_finite(backend, sampled, ansatz, observable, value):
    with pytest.raises(PubError, match=r"PUB 1: the parameter x has the value -?(nan|inf) in parameter set \[2\]"):
        plan([(sampled, [0.1]), (sampled, [[0.1], [0.2], [value]])], backend)
    with pytest.raises(PubError, match=r"the parameter y has the value .*: give finite numbers"):
        plan([(ansatz, observable("ZZ"), [0.1, value])], backend, "estimator")


def test_a_pub_of_the_other_primitive_is_recognised(backend, sampled, ansatz, observable, bell):
    for observables in (observable("ZZ"), [observable("ZZ")], [[observable("ZZ")]], "ZZ", {"ZZ": 1.0}):
        with pytest.raises(PubError, match='looks like an Estimator\'s PUB; pass primitive="estimator"'):
            plan([(ansatz, observables, [0.1, 0.2])], backend, "sampler")
    for pub in ((sampled, [0.1]), (sampled, np.zeros((3, 1)), 100)):
        with pytest.raises(PubError, match=r"PUB 0: "):
            plan([pub], backend, "estimator")
    with pytest.raises(PubError, match="no observables: an Estimator's PUB is"):
        plan([bell], backend, "estimator")
    with pytest.raises(PubError, match="no observables"):
        plan([(bell,)], backend, "estimator")


@pytest.mark.parametrize("pubs", [None, 3, "pubs", {}, [], (), [None], [3], ["circuit"], [()]])
def test_what_is_no_list_of_pubs(backend, pubs):
    with pytest.raises(ArgumentError):
        plan(pubs, backend)


def test_one_pub_is_not_a_list_of_them(backend, sampled):
    with pytest.raises(ArgumentError, match="this is one PUB"):
        plan((sampled, [0.1]), backend)
    with pytest.raises(ArgumentError, match="not a list of PUBs"):
        plan(sampled, backend)


# --- options and primitives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primitive", "options", "said"),
    [
        ("sampler", {"resilience_level": 1}, "a Sampler has no resilience levels"),
        ("sampler", {"resilience": {"measure_mitigation": True}}, "a Sampler mitigates nothing"),
        ("sampler", {"default_precision": 0.1}, "a Sampler takes shots"),
        ("executor", {"default_shots": 10}, "names its shots"),
        ("estimator", {"resilience_level": "1"}, "0, 1 or 2"),
        ("estimator", {"resilience_level": True}, "0, 1 or 2"),
        ("estimator", {"resilience_level": [1]}, "0, 1 or 2"),
        ("estimator", {"resilience": True}, "give a dict"),
        ("estimator", {"resilience": {"zne": 3}}, "give a dict"),
        ("estimator", {"resilience": {"measure_mitigation": "no"}}, "True or False"),
        ("estimator", {"resilience": {"zne": {"noise_factors": "3"}}}, "one or more numbers"),
        ("estimator", {"resilience": {"zne": {"noise_factors": [1, NAN]}}}, "one or more numbers"),
        ("estimator", {"resilience": {"zne": {"noise_factors": [0.5]}}}, "each at least 1"),
        ("estimator", {"resilience": {"layer_noise_learning": {"layer_pair_depths": "all"}}}, "whole numbers"),
        ("sampler", {"twirling": {"enable_gates": "yes"}}, "True or False"),
        ("sampler", {"execution": {"init_qubits": 0}}, "True or False"),
        ("sampler", {"execution": {"rep_delay": "250us"}}, "number"),
        ("sampler", {"execution": {"meas_type": "levels"}}, '"classified"'),
        ("sampler", {"default_shots": "many"}, "whole number"),
        ("sampler", {"max_execution_time": NAN}, "positive number"),
        ("sampler", 3, "pass a dict"),
        ("sampler", {"twirlling": {}}, "did you mean 'twirling'"),
        ("smapler", None, "did you mean 'sampler'"),
        (None, None, "is not a primitive"),
    ],
)
def test_options_that_a_primitive_does_not_have_or_take(backend, bell, primitive, options, said):
    with pytest.raises(ArgumentError, match=said):
        plan([bell], backend, primitive, options)


def test_shots_are_a_samplers_and_precision_an_estimators(backend, bell, ansatz, observable):
    with pytest.raises(ArgumentError, match="only an Estimator takes a precision"):
        plan([bell], backend, precision=0.1)
    with pytest.raises(ArgumentError, match=r"shots=4096: an Estimator takes a precision; precision=0.01562 is 4096"):
        plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", shots=4096)
    for bad in (0, -1, NAN, INF, "0.1", True):
        with pytest.raises(ArgumentError, match="precision="):
            plan([(ansatz, observable("ZZ"), [0.1, 0.2])], backend, "estimator", precision=bad)


@pytest.mark.parametrize("backend_", [None, "ibm_fez", 3, object()])
def test_what_is_no_backend(bell, backend_):
    with pytest.raises(ArgumentError, match="backend"):
        plan([bell], backend_)


def test_partitions_that_do_not_cover_the_pubs(backend, bell):
    for parts in ([Partition((Piece(0),))], [Partition((Piece(0),)), Partition((Piece(7),))], []):
        with pytest.raises(ArgumentError):
            plan([bell, bell], backend, partitions=parts)


# --- the other functions ---------------------------------------------------------------------------------------------


def test_every_function_has_the_same_errors(backend, bell):
    for call in (
        lambda: estimate_usage([bell], backend, shots="many"),
        lambda: estimate_usage([], backend),
        lambda: partition([bell], backend, jobs=2.5),
        lambda: partition([bell], backend, jobs="2"),
        lambda: partition([bell], backend, seconds=NAN),
        lambda: partition([bell], backend, lanes="5"),
        lambda: compare([], [bell], backend, "sampler"),
        lambda: compare([{"default_shots": 1}], [bell], backend, "sampler", usage_left="600"),
        lambda: compare([{"default_shots": 1}], [bell], backend, "sampler", prefers="x"),
        lambda: compare_backends([bell], [backend], prefer="fast"),
        lambda: counted_usage(backend, -1),
        lambda: counted_usage(backend, NAN),
        lambda: Conditions(lanes=0),
        lambda: plan([QuantumCircuit(2)], backend),
    ):
        with pytest.raises(ArgumentError):
            call()


# --- the wait that the service tells -----------------------------------------------------------------------------


def test_the_services_own_figures_of_the_queue(backend, bell):
    told = {"average": 300, "p50": 120, "p95": 900}
    found = plan([bell], backend, queue_wait=told)
    assert found.conditions.queue_wait == 120
    assert found.conditions.queue_wait_high == 900
    assert "the median of what the service says" in found.conditions.why_wait
    assert "900 s" in found.conditions.why_wait
    rows = {"name": "ibm_fez", "wait_time_seconds": told}
    assert plan([bell], backend, queue_wait=rows).conditions == found.conditions
    assert "last, long queue" in str(found)
    assert conditions(7, None, told).queue_wait == 120  # before the pending jobs
    assert conditions(7, 33, told).queue_wait == 33  # what is given comes first


NOT_TOLD = [None, 3, {}, {"p50": 1}, {"p50": None, "p95": 1}, {"p50": -1, "p95": 1}, {"p50": "1", "p95": 2},
            {"p50": NAN, "p95": 1}, {"wait_time_seconds": None}]  # fmt: skip


@pytest.mark.parametrize("told", NOT_TOLD)
def test_a_wait_that_is_not_told(told):
    assert Wait.of(told) is None
    assert "pending jobs" in conditions(7, None, told).why_wait

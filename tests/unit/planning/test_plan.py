import json
import re

import numpy as np
import pytest

from qmode_widgets.model.partition import Partition, Piece, check
from qmode_widgets.planning.limits import check_limits
from qmode_widgets.planning.plan import PlanError, plan
from qmode_widgets.planning.settings import settings
from qmode_widgets.planning.splitting import partition


@pytest.fixture(scope="module")
def sweep(sampled):
    return [(sampled, np.linspace(0, 1, 300)[:, None], 4096)]


def test_a_sweep_in_parts_is_a_batch(backend, sweep):
    found = plan(sweep, backend, queue_wait=600, partitions=5)
    assert found.mode == "batch"
    assert [p.label for p in found.partitions] == [f"0[{a}:{a + 60}]" for a in range(0, 300, 60)]
    assert found.usage.expected == pytest.approx(sum(p.expected for p in found.partitions))
    assert found.usage.jobs == 5
    assert found.errors == ()
    check(found.partitions, 1)


def test_a_single_small_pub_is_a_job(backend, bell):
    found = plan([(bell, None, 1000)], backend)
    assert found.mode == "job"
    assert found.forecasts["job"].usage == pytest.approx(found.usage.expected)


def test_iterative_work_is_a_session_and_counts_all_steps(backend, sampled):
    found = plan([(sampled, [0.1])], backend, iterative=20, classical=15, queue_wait=600)
    assert found.mode == "session"
    assert found.usage.jobs == 20
    assert found.forecasts["session"].usage > found.usage.expected
    with pytest.raises(ValueError, match="later iterations"):
        found.run(object())


def test_partitions_of_the_users_own(backend, sweep):
    own = [Partition((Piece(0, 0, 100, shape=(300,)),)), Partition((Piece(0, 100, 300, shape=(300,)),))]
    found = plan(sweep, backend, partitions=own)
    assert [p.pieces for p in found.partitions] == [p.pieces for p in own]
    assert found.partitions[1].expected > found.partitions[0].expected
    with pytest.raises(ValueError, match="0:100, the PUB has 300"):
        plan(sweep, backend, partitions=own[:1])


def test_partition_function(backend, sweep, bell):
    parts = partition(sweep, backend, jobs=7)
    assert len(parts) == 7
    assert all(p.expected and p.formula for p in parts)
    assert len(partition(sweep, backend, executions=4096 * 50)) == 6
    client_side = partition([(bell, None, 100), (bell, None, 200), (bell, None, 100)], backend, "executor_sampler")
    assert [[p.pub for p in part.pieces] for part in client_side] == [[0, 2], [1]]
    assert len(partition([(bell, None, 100), (bell, None, 200)], backend, "sampler")) == 1


@pytest.mark.parametrize(
    ("options", "kwargs", "rule", "level"),
    [
        ({"default_shots": 11_000_000}, {"partitions": 1}, "executions", "error"),
        ({"max_execution_time": 10, "default_shots": 1_000_000}, {"partitions": 1}, "max_execution_time", "error"),
        ({"default_shots": 4_000_000}, {"instance_plan": "Open Plan"}, "usage left", "error"),
        ({"default_shots": 1_000_000}, {"usage_left": 300}, "usage left", "warning"),
    ],
)
def test_limits_of_a_job_name_figure_limit_and_pub(backend, bell, options, kwargs, rule, level):
    found = plan([bell], backend, "sampler", options, **kwargs)
    finding = next(f for f in found.findings if f.rule == rule)
    assert finding.level == level
    assert len(re.findall(r"\d[\d,]*", finding.message)) >= 2
    if finding.job is not None:
        assert finding.pub == 0


def test_a_session_on_the_open_plan_is_an_error(backend, bell):
    found = plan([bell], backend)
    findings = check_limits([s.jobs for s in found.submissions], mode="session", instance_plan="open")
    assert "1352" in next(f.message for f in findings if f.rule == "open plan")


def test_many_small_jobs_trickle(backend, sampled):
    found = plan([(sampled, np.linspace(0, 1, 40)[:, None], 100)], backend, partitions=20)
    rules = {f.rule for f in found.findings}
    assert {"submission rate", "trickle"} <= rules
    assert found.forecasts["batch"].reactivations > 0


def test_max_ttl_against_the_forecast(backend, sweep):
    found = plan(sweep, backend, partitions=20, max_ttl=100)
    assert found.mode == "job"  # which has no max TTL
    assert found.errors == ()
    batch = found.forecasts["batch"]
    assert batch.failed > 0
    findings = check_limits([s.jobs for s in found.submissions], mode="batch", expected=batch)
    assert [f.level for f in findings if f.rule == "max TTL"] == ["error"]
    assert batch.usage == pytest.approx(found.usage.expected)  # work undone is not work saved
    assert batch.billed == pytest.approx(found.usage.expected - batch.undone)
    with pytest.raises(PlanError, match="usage"):
        plan(sweep, backend, usage_left=10).run(object())


def test_a_batch_on_the_open_plan_lives_ten_minutes(backend, sweep):
    assert plan(sweep, backend, instance_plan="open", usage_left=1e6).conditions.max_ttl == 600
    assert plan(sweep, backend, instance_plan="open", usage_left=1e6, max_ttl=300).conditions.max_ttl == 300
    assert plan(sweep, backend).conditions.max_ttl == 28800


def test_gates_and_instructions(backend, transpile):
    from qiskit import QuantumCircuit

    deep = QuantumCircuit(2)
    for _ in range(12_000):
        deep.cz(0, 1)
    deep.measure_all()
    found = plan([deep], backend)
    assert found.findings == ()  # the 10,000 two-qubit gates of 2024 are no limit any more
    many = plan([deep] * 500, backend, shots=1, partitions=1)
    finding = next(f for f in many.findings if f.rule == "control instructions")
    assert finding.level == "error"
    assert f"{500 * (12_000 * 5 + 10 + 50):,}" in finding.message


def test_payload(backend, sampled):
    found = plan([(sampled, np.zeros((6_000_000, 1)), 1)], backend, partitions=1)
    assert "payload" in {f.rule for f in found.findings}


def test_client_side_mitigation_without_a_noise_model(backend, ansatz, observable):
    pubs, options = [(ansatz, observable("ZZ"), [0.1, 0.2])], {"resilience": {"pec_mitigation": True}}
    found = plan(pubs, backend, "executor_estimator", options)
    assert "NoiseLearnerV3" in next(f.message for f in found.errors if f.rule == "noise model")


def test_money_is_only_spoken_of_when_a_price_is_given(backend, bell):
    assert plan([bell], backend).price() is None
    priced = plan([(bell, None, 100_000)], backend, price_per_minute=96)
    assert priced.price() == pytest.approx(priced.usage.expected / 60 * 96)
    assert "96" in priced._repr_html_()
    with pytest.raises(ValueError, match="price_per_minute=-1"):
        plan([bell], backend, price_per_minute=-1)


def test_shows_the_three_modes_and_the_advised_one(backend, sweep):
    found = plan(sweep, backend, queue_wait=600, partitions=5)
    shown, text = found._repr_html_(), str(found)
    assert shown.count("✓ advised") == 1
    for mode in ("Job", "Batch", "Session"):
        assert f"<b>{mode}</b>" in shown
    assert shown.count("flex:") == 5
    assert "* batch" in text
    assert "BATCH mode on fake_fez" in text
    assert repr(found) == text


def test_what_comes_from_outside_is_escaped(backend, bell, monkeypatch):
    from dataclasses import replace

    found = plan([bell], backend)
    labelled = replace(found.submissions[0], label="<b>'\"")
    found = replace(found, backend="<script>alert(1)</script>", submissions=(labelled,))
    assert "<script>" not in found._repr_html_()
    assert "<b>'" not in found._repr_html_()


def test_many_partitions_are_drawn_together(backend, sampled):
    found = plan([(sampled, np.zeros((500, 1)), 10)], backend, partitions=500)
    assert found._repr_html_().count("flex:") <= 60


def test_to_dict_is_json(backend, sweep):
    data = json.loads(json.dumps(plan(sweep, backend, partitions=5).to_dict()))
    assert data["mode"] == "batch"
    assert set(data["forecasts"]) == {"job", "batch", "session"}
    assert data["usage"]["expected"] > 0
    assert data["partitions"][0]["label"] == "0[0:60]"


def test_figure_has_a_time_line_for_modes_that_differ_on_a_common_axis(backend, sweep):
    figure = plan(sweep, backend, queue_wait=100, partitions=5).figure()
    titles = [a.text for a in figure.layout.annotations]
    modes = ["<b>Job, Batch ✓ advised</b>", "<b>Session</b>"]  # on an equal queue those two come to the same
    assert [title.partition(": ")[0] for title in titles] == modes
    assert all("s of usage" in title for title in titles)
    on_qpu = [t for t in figure.data if t.name == "on the QPU"]
    assert [len(t.x) for t in on_qpu] == [5, 5]
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range


def test_idle_time_that_is_billed_is_drawn(backend, sampled):
    found = plan([(sampled, [0.1])], backend, iterative=5, classical=20)
    idle = [t for t in found.figure().data if t.name == "idle, billed"]
    assert [len(t.x) for t in idle] == [0, 4]
    assert sum(idle[1].x) == pytest.approx(found.forecasts["session"].idle)


def test_bad_input_leaves_nothing_half_made(backend, bell):
    for bad, message in (
        ({"partitions": "many"}, "partitions='many'"),
        ({"partitions": 3}, "ask for at most"),
        ({"iterative": 0}, "iterative=0"),
        ({"queue_wait": -3}, "queue_wait=-3"),
        ({"classical": -1, "iterative": 3}, "classical=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            plan([(bell, None, 100)] * 2, backend, "executor_sampler", **bad)
    with pytest.raises(ValueError, match="pass the primitive"):
        plan([bell], backend).run()


@pytest.mark.parametrize(("name", "is_open"), [("open", True), ("Open Plan", True), ("open-plan", True), (None, False),
                                               ("pay-as-you-go", False), ("opencompany", False)])  # fmt: skip
def test_the_open_plan_by_its_names(name, is_open):
    from qmode_widgets.planning.limits import is_open_plan

    assert is_open_plan(name) is is_open


def test_jobs_are_cut_where_a_limit_demands_it(backend, transpile):
    from qiskit import QuantumCircuit

    deep = QuantumCircuit(2)
    for _ in range(12_000):
        deep.cz(0, 1)
    deep.measure_all()
    parts = partition([deep] * 500, backend, shots=1)
    assert [len(p.pieces) for p in parts] == [250, 250]
    assert not plan([deep] * 500, backend, shots=1).errors


def test_blocks_of_control_flow_are_loaded_whether_or_not_they_run(backend):
    from qiskit import QuantumCircuit

    from qmode_widgets.planning.limits import count_per_qubit

    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.x(1)
    with otherwise:
        circuit.cz(0, 1)
    assert count_per_qubit(circuit) == {0: 50 + 10 + 5, 1: 50 + 2 + 5}
    assert plan([circuit], backend).errors == ()


def test_shots_that_twirling_fixes_are_not_split(backend, bell):
    twirling = {"enable_gates": True, "num_randomizations": 100, "shots_per_randomization": 400}
    with pytest.raises(ValueError, match="ask for at most 1"):
        plan([bell], backend, "executor_sampler", {"twirling": twirling}, partitions=3)
    halves = [Partition((Piece(0, shots=2048),)), Partition((Piece(0, shots=2048),))]
    found = plan([bell], backend, "executor_sampler", {"twirling": twirling}, partitions=halves)
    assert {f.rule for f in found.errors} == {"shots"}  # each half would run all 40,000
    for service_side in ("sampler", "estimator"):  # the service obeys the shots of each part
        assert not settings(service_side, {"twirling": twirling}).fixed_shots
    free = {k: v for k, v in twirling.items() if k != "shots_per_randomization"}
    assert plan([bell], backend, "executor_sampler", {"twirling": free}, partitions=halves).errors == ()

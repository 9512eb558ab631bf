"""A comparison is planned by each setting's own options and by the account's own limits."""

import pytest
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.planning.compare import compare

LIMITED = {"max_execution_time": 1}


@pytest.mark.parametrize(("grid", "job"), [({"a": {}, "b": LIMITED}, 1), ({"b": LIMITED, "a": {}}, 0)])
def test_each_setting_is_checked_against_its_own_options(backend, bell, grid, job):
    found = compare(grid, [(bell, None, 500_000)], backend, Sampler, instance_plan="premium", usage_left=1e9).plan
    assert [(f.rule, f.job) for f in found.errors] == [("max_execution_time", job)]


def test_a_comparison_on_the_open_plan_lives_ten_minutes(backend, bell):
    grid = {"plain": {}, "twirled": {"twirling": {"enable_measure": True}}}
    found = compare(grid, [bell], backend, Sampler, instance_plan="open", usage_left=600).plan
    assert found.conditions.max_ttl == 600


def test_the_total_speaks_of_all_settings(backend, bell):
    grid = {"slow": {}, "fast": {"execution": {"rep_delay": 50e-6}}}
    found = compare(grid, [(bell, None, 10_000)], backend, Sampler).plan
    assert found.usage.breakdown.rep_delay == pytest.approx(10_000 * 300e-6)
    assert "150 µs rep_delay" in found.usage.formula  # their mean

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmode_widgets.model.partition import check
from qmode_widgets.planning.splitting import Rules, Sizes, cut_sizes


def sizes_of(pubs, *, groups=None, shots_split=True, shots=1000.0):
    """From (seconds, parameter sets) a PUB; 250 µs an execution."""
    seconds = np.array([s for s, _ in pubs], dtype=float)
    return Sizes(
        seconds,
        seconds / 250e-6,
        np.array([n for _, n in pubs], dtype=np.int64),
        [(n,) for _, n in pubs],
        [shots] * len(pubs),
        groups or [None] * len(pubs),
        np.array([shots_split] * len(pubs)),
    )


pubs = st.lists(st.tuples(st.floats(0.001, 5000), st.integers(1, 40)), min_size=1, max_size=30)
rules = st.one_of(
    st.just(Rules()),
    st.builds(Rules, seconds=st.floats(20, 5000)),
    st.builds(Rules, executions=st.floats(1e5, 1e7)),
    st.builds(Rules, lanes=st.integers(1, 20)),
)


def covered(partitions, sizes):
    check(partitions, len(sizes.units))
    return partitions


@settings(max_examples=300, deadline=None)
@given(pubs, rules)
def test_every_part_of_every_pub_is_in_exactly_one_job_in_order(found, rule):
    sizes = sizes_of(found)
    partitions = covered(cut_sizes(sizes, rule), sizes)
    order = [(p.pub, p.start or 0) for part in partitions for p in part.pieces]
    assert order == sorted(order)
    assert cut_sizes(sizes, rule) == partitions  # reproducible


@settings(max_examples=200, deadline=None)
@given(pubs, st.data())
def test_exactly_as_many_jobs_as_asked_for(found, data):
    sizes = sizes_of(found, shots_split=False)
    jobs = data.draw(st.integers(1, int(sizes.units.sum())))
    assert len(covered(cut_sizes(sizes, Rules(jobs=jobs)), sizes)) == jobs


@settings(max_examples=200, deadline=None)
@given(pubs, st.data())
def test_pubs_of_different_shots_stay_apart(found, data):
    groups = [data.draw(st.sampled_from([100, 200, 300])) for _ in found]
    sizes = sizes_of(found, groups=groups)
    for part in covered(cut_sizes(sizes, Rules()), sizes):
        assert len({groups[p.pub] for p in part.pieces}) == 1
        assert [p.pub for p in part.pieces] == sorted(p.pub for p in part.pieces)


@settings(max_examples=200, deadline=None)
@given(pubs)
def test_limits_are_kept_where_a_job_can_be_cut(found):
    sizes = sizes_of(found, shots_split=False)
    rule = Rules(max_executions=1e6)
    for part in cut_sizes(sizes, rule):
        executions = sum(
            float(sizes.executions[p.pub]) * (1 if p.sets is None else p.sets / sizes.units[p.pub]) for p in part.pieces
        )
        single = len(part.pieces) == 1 and (part.pieces[0].sets or sizes.units[part.pieces[0].pub]) == 1
        assert executions <= 1e6 * (1 + 1e-6) or single


def test_small_pubs_are_combined_until_a_job_uses_a_minute():
    partitions = cut_sizes(sizes_of([(1.0, 1)] * 150), Rules())
    assert [len(p.pieces) for p in partitions] == [75, 75]
    assert len(cut_sizes(sizes_of([(1.0, 1)] * 50), Rules())) == 1


def test_big_workloads_are_balanced_over_the_lanes():
    sizes = sizes_of([(10.0, 1)] * 200)
    partitions = cut_sizes(sizes, Rules())
    assert [len(p.pieces) for p in partitions] == [40] * 5


def test_one_big_pub_is_cut_between_its_parameter_sets():
    partitions = cut_sizes(sizes_of([(600.0, 100)]), Rules())
    assert [p.label for p in partitions] == ["0[0:20]", "0[20:40]", "0[40:60]", "0[60:80]", "0[80:100]"]


def test_a_single_parameter_set_beyond_the_limit_is_cut_by_shots():
    sizes = sizes_of([(5000.0, 1)], shots=20_000_000.0)  # 20 million executions
    partitions = covered(cut_sizes(sizes, Rules()), sizes)
    assert [p.pieces[0].shots for p in partitions] == [10_000_000, 10_000_000]
    assert len(cut_sizes(sizes_of([(5000.0, 1)], shots_split=False), Rules())) == 1
    assert [p.pieces[0].shots for p in cut_sizes(sizes, Rules(jobs=4))] == [5_000_000] * 4


def test_sizes_asked_for():
    sizes = sizes_of([(1.0, 1)] * 100)
    assert len(cut_sizes(sizes, Rules(seconds=12.0))) == 10  # 2 s of each are the job's overhead
    assert len(cut_sizes(sizes, Rules(executions=40_000))) == 10


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"jobs": 0}, "jobs=0"),
        ({"jobs": 2.5}, "jobs=2.5"),
        ({"seconds": -1}, "seconds=-1"),
        ({"executions": math.nan}, "executions=nan"),
        ({"lanes": 0}, "lanes=0"),
        ({"jobs": 2, "seconds": 3}, "both given"),
    ],
)
def test_absurd_rules_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        Rules(**rule)


def test_more_jobs_than_parts_are_refused():
    with pytest.raises(ValueError, match="at most 6"):
        cut_sizes(sizes_of([(1.0, 2)] * 3), Rules(jobs=7))
    with pytest.raises(ValueError, match="at least 3 jobs"):
        cut_sizes(sizes_of([(1.0, 2)] * 3, groups=[1, 2, 3]), Rules(jobs=2))


def test_absurdly_many_jobs_are_refused():
    with pytest.raises(ValueError, match="lower the shots"):
        cut_sizes(sizes_of([(1e9, 1)], shots=4e12), Rules())
    with pytest.raises(ValueError, match="to submit at 5 a minute"):
        cut_sizes(sizes_of([(1.0, 40)] * 10_000), Rules(executions=1))

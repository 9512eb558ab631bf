"""What is written into a job's tags is read back whole, whatever the partition and in whatever order they come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.model import tags
from qmode_widgets.model.partition import Partition, Piece

keys = st.builds(
    lambda run, of, part, attempt: tags.AttemptKey(run, part % of, of, attempt),
    st.from_regex(r"[a-z0-9]{8}", fullmatch=True),
    st.integers(1, 2000),
    st.integers(0, 5000),
    st.integers(0, 50),
)
pieces = st.one_of(
    st.builds(Piece, st.integers(0, 300)),
    st.builds(
        lambda pub, start, n, shape: Piece(pub, start, start + n, shape=shape),
        st.integers(0, 300),
        st.integers(0, 90),
        st.integers(1, 90),
        st.lists(st.integers(1, 9), max_size=3).map(tuple),
    ),
    st.builds(Piece, st.integers(0, 300), shots=st.integers(1, 100_000)),
)
mine_ = st.text("abcdefghij-_ :@#", min_size=1, max_size=12).filter(lambda t: "qmode" not in t)
groups = st.none() | st.text("step 0123456789", min_size=1, max_size=12)


@given(keys, st.lists(pieces, min_size=1, max_size=6), st.lists(mine_, max_size=3, unique=True), groups, st.randoms())
def test_tags_say_what_was_written(key, parts, mine, group, random):
    partition = Partition(tuple(parts))
    too_many = len(tags.write_layout(parts)) + len(mine) + 2 + bool(group) > tags.MAX_TAGS
    if too_many:
        with pytest.raises(ValueError, match="more than the 8"):
            tags.write(key, mine, partition, group)
        return
    written = tags.write(key, mine, partition, group)
    assert max(map(len, written)) <= 60
    random.shuffle(written)
    said = tags.read(written)
    assert said.key == key
    assert said.partition is not None
    assert said.partition.pieces == partition.pieces
    assert said.group == group
    assert sorted(said.own) == sorted(mine)


def test_consecutive_pubs_need_one_short_tag():
    assert tags.write_layout([Piece(i) for i in range(4, 900)]) == ["qmode@4-899"]


def test_a_layout_too_long_for_the_tags_is_refused_before_anything_is_sent():
    scattered = Partition(tuple(Piece(i) for i in range(0, 600, 2)))
    with pytest.raises(ValueError, match="consecutive PUBs"):
        tags.write(tags.AttemptKey("abcd1234", 0, 2), (), scattered)


def test_someone_elses_tags_stay_theirs():
    theirs = ("qmode:toolongtobeours:x", "qmode@nonsense", "qmode:abcd1234:9.3.0", "mine")
    said = tags.read(theirs)
    assert said.key is None
    assert said.own == theirs


def test_a_tag_that_looks_like_ours_is_refused():
    with pytest.raises(ValueError, match="use another tag"):
        tags.write(tags.AttemptKey("abcd1234", 0, 1), ["qmode:mine"])

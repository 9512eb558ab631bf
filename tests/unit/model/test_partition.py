import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.model.partition import Partition, Piece, check, even


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_even_keeps_order_and_balance(case):
    pubs, parts = case
    partitions = even(pubs, parts)
    assert [p.pub for part in partitions for p in part.pieces] == list(range(pubs))
    sizes = {len(part.pieces) for part in partitions}
    assert len(partitions) == parts
    assert max(sizes) - min(sizes) <= 1
    check(partitions, pubs)


def part(*pieces):
    return Partition(tuple(pieces))


def test_split_pubs_pass():
    check([part(Piece(0)), part(Piece(1, 0, 3, shape=(6,))), part(Piece(1, 3, 6, shape=(6,)), Piece(2))], 3)
    check([part(Piece(0, shots=100)), part(Piece(0, shots=50))], 1)
    check(
        [
            part(Piece(0, 0, 2, shots=5, shape=(4,))),
            part(Piece(0, 0, 2, shots=5, shape=(4,))),
            part(Piece(0, 2, 4, shape=(4,))),
        ],
        1,
    )


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        ([part(Piece(0))], "PUB 1 is in no partition"),
        ([part(Piece(0)), part(Piece(1)), part(Piece(1))], "PUB 1 is in 2 partitions"),
        ([part(Piece(0), Piece(1), Piece(7))], "names PUB 7"),
        ([part(Piece(0)), part()], "partition 1 has no PUBs"),
        ([part(Piece(0)), part(Piece(1, 0, 3, shape=(6,)))], "carry the parameter sets 0:3, the PUB has 6"),
        ([part(Piece(0), Piece(1, 1, 6, shape=(6,)))], "parameter sets 0:1 are in no partition"),
        ([part(Piece(0), Piece(1, 0, 4, shape=(6,)), Piece(1, 3, 6, shape=(6,)))], "3:4 are in more than one"),
        ([part(Piece(0), Piece(1, 0, 3, shape=(6,)), Piece(1, 0, 3, shape=(6,)))], "is there 2 times"),
        ([part(Piece(0), Piece(1, 0, 3, shape=(6,)), Piece(1, 3, 6, shape=(2, 3)))], "different shapes"),
        ([part(Piece(0), Piece(1, 3, 3, shape=(6,)))], "start < stop"),
        ([part(Piece(0), Piece(1, shots=0))], "0 shots"),
        ([part(Piece(0), Piece(1, shots=5), Piece(1, 0, 6, shape=(6,)))], "by shots in one place"),
    ],
)
def test_whatever_loses_or_repeats_is_named(partitions, message):
    with pytest.raises(ValueError, match=message):
        check(partitions, 2)


def test_labels():
    assert part(Piece(6), Piece(7)).label == "6–7"
    assert part(Piece(3, 0, 40, shape=(80,))).label == "3[0:40]"
    assert part(Piece(1), Piece(4)).label == "1, 4"

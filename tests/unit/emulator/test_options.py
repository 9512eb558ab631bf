from __future__ import annotations

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmode_widgets.emulator.options import SIMULATIONS, Options

VALID = st.builds(
    Options,
    speed=st.floats(0.1, 1e6) | st.just(float("inf")),
    max_ttl=st.floats(0.1, 1e6),
    interactive_ttl=st.floats(0, 1e6),
    lanes=st.integers(1, 10),
    noise=st.booleans(),
    rate_limit=st.booleans(),
    state=st.text("abc/._", max_size=10),
    simulation=st.sampled_from(SIMULATIONS),
    mps_seconds=st.floats(0, 1e6),
)


@given(VALID)
def test_a_command_line_gives_the_same_options_back(options):
    parser = argparse.ArgumentParser()
    Options.add_to(parser)
    assert Options.parsed(parser.parse_args(options.to_args())) == options
    assert Options.of(options.to_dict()) == options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000), ("speed", 0), ("speed", float("nan")), ("speed", "2"), ("lanes", 0), ("lanes", True),
        ("lanes", 2.5), ("max_ttl", float("inf")), ("interactive_ttl", -1), ("jitter", 2), ("noise", 1),
        ("max_qubits", 40), ("backends", " , "), ("other_users", 1.0), ("keep", 1), ("calibration_every", 1e-6),
        ("simulation", "mps"), ("bond_dimension", 0), ("mps_seconds", -1.0),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"{name}=") as caught:
        Options.of({name: value})
    assert repr(value) in str(caught.value)


def test_an_unknown_option_names_those_that_exist():
    with pytest.raises(TypeError, match=r"no option 'sped'; there are: port, speed"):
        Options.of({"sped": 1})


def test_options_are_strict_json_both_ways():
    """JSON has no infinity, and some parsers refuse Python's spelling of it."""
    given = Options(speed=float("inf"), lanes=3)
    text = json.dumps(given.to_dict(), allow_nan=False)
    assert Options.of(json.loads(text)) == given

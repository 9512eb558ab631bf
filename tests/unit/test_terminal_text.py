"""Text of the service reaches a terminal escaped, in exceptions and in events: nothing in it acts there."""

from __future__ import annotations

import inspect
import unicodedata

import pytest

from qmode_widgets import errors
from qmode_widgets.errors import QmodeError, ServiceError
from qmode_widgets.model.outcome import Refusal

HOSTILE = "a\x1b]8;;http://evil\x07b\u202ec\x00d\r\ne\u2066f\x9b31m"


def acts(text: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


def made(kind: type[QmodeError]) -> QmodeError:
    needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty or p.name == "message"]
    values = {"sent": True, "status": 400, "missing": {}, "pub": 0, "reason": HOSTILE, "code": None}
    if kind is errors.PlanError:
        return kind([type("Finding", (), {"message": HOSTILE})])
    return kind(**{p.name: values.get(p.name, HOSTILE) for p in needed if p.kind is not p.VAR_POSITIONAL})


KINDS = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, QmodeError) and k is not QmodeError]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_no_error_prints_what_acts_on_a_terminal(kind):
    error = made(kind)
    assert "\\x1b]8;;http" in str(error)
    assert not acts(str(error))


def test_nor_does_the_base_nor_a_code_a_solution_or_a_refusal():
    error = ServiceError(HOSTILE, status=400, code=HOSTILE, solution=HOSTILE)
    assert not acts(str(error))
    assert not acts(str(QmodeError(HOSTILE)))
    assert not acts(str(Refusal.of(error)))

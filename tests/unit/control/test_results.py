"""What is called lost is lost: running it again costs."""

from __future__ import annotations

import pytest

from qmode_widgets.control.runs.results import Results
from qmode_widgets.control.state.ledger import Ledger
from qmode_widgets.control.state.record import Record
from qmode_widgets.errors import IncompleteResultError, ServiceError
from qmode_widgets.model.partition import Partition, Piece
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.model.tags import AttemptKey
from tests.unit.control.account import Account


@pytest.fixture
def results():
    """Makes the results of a run of two whose service answers with this error."""

    def make(error):
        account = Account()

        async def answer(id_):
            raise error

        account.results = answer
        ledger = Ledger(account, "s", "batch", "b")
        keys = [AttemptKey("aaaaaa", i, 2) for i in range(2)]
        ledger.add(
            [
                Record(JobState.DONE, key=key, job_id=f"j{i}", program="sampler", partition=Partition((Piece(i),)))
                for i, key in enumerate(keys)
            ],
            "aaaaaa",
        )
        return Results(ledger)

    return make


@pytest.mark.parametrize("partial", [True, False])
def test_a_result_that_must_not_be_read_now_is_not_lost(results, partial):
    """The token is refused for a while: nobody is told to run the job again."""
    with pytest.raises(ServiceError) as caught:
        results(ServiceError("You are not authorized", status=401, code=1200)).run("aaaaaa", partial=partial)
    assert caught.value.status == 401


def test_a_result_that_is_gone_is_lost(results):
    with pytest.raises(IncompleteResultError, match="its result is lost: HTTP 404: gone"):
        results(ServiceError("gone", status=404)).run("aaaaaa")


def test_a_job_of_a_program_that_cannot_be_merged_gives_what_it_gives():
    account = Account()

    async def answer(id_):
        return '{"anything": [1, 2]}'

    account.results = answer
    ledger = Ledger(account, "s", "batch", "b")
    ledger.add([Record(JobState.DONE, key=AttemptKey("aaaaaa", 0, 1), job_id="j", program="of-a-user")], "aaaaaa")
    assert Results(ledger).run("aaaaaa") == {"anything": [1, 2]}

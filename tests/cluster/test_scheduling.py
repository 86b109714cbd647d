"""When a run of a sweep is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.planned_runs import Saved
from cluster.scheduling import MOST_FAILURES, Attempts

ENDLESS = 1000
LOST = st.sampled_from([None, 143, 129, 130])
FAILED = st.integers(1, 255).filter(lambda status: status not in (2, 129, 130, 143))


def begun(saved: Saved) -> Attempts:
    attempts = Attempts()
    attempts.begin(saved)
    return attempts


def tried(statuses: list[int | None], steps: list[int]) -> int:
    """Returns how often a run is begun that ends so, each time so many steps further."""
    attempts, saved = begun(Saved(0, 0, 0)), Saved(0, 0, 0)
    for count, (status, further) in enumerate(zip(statuses, steps, strict=True), start=1):
        saved = Saved(saved.gathered, saved.step + further, saved.games)
        if not attempts.is_worth_another(status, saved):
            return count
        attempts.begin(saved)
    return ENDLESS


@given(further=st.integers(0, 10))
def test_wrong_usage_is_never_tried_again(further: int) -> None:
    assert tried([2], [further]) == 1


@given(status=FAILED)
def test_a_run_that_fails_by_itself_is_tried_again_only_if_it_got_further(status: int) -> None:
    assert tried([status], [0]) == 1
    assert tried([status] * 9, [1] * 9) == MOST_FAILURES
    assert tried([status, status], [1, 0]) == 2


@given(statuses=st.lists(LOST, min_size=20, max_size=20))
def test_a_run_that_loses_its_worker_is_tried_again_as_long_as_it_gets_further(
    statuses: list[int | None],
) -> None:
    assert tried(statuses, [1] * 20) == ENDLESS
    assert tried(statuses, [0] * 20) == MOST_FAILURES
    # Not in a row.
    assert tried(statuses, [0, 0, 1] * 6 + [0, 0]) == ENDLESS


def test_gathering_gets_further_as_well() -> None:
    attempts = begun(Saved(100, 0, 0))
    assert attempts.is_worth_another(1, Saved(200, 0, 0))
    assert begun(Saved(0, 0, 0)).name != begun(Saved(0, 0, 0)).name

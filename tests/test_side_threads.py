"""Own threads where there are cores for them, and none where a process is to have one core."""

from __future__ import annotations

import threading

import pytest

from hoimg.side_threads import side_threads


@pytest.mark.parametrize(("named", "alone"), [(None, False), ("2", False), ("1", True)])
def test_work_is_done_by_the_caller_where_there_is_one_core(monkeypatch, named, alone):
    if named is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", named)
    with side_threads(1) as beside:
        worker = beside.submit(threading.get_ident).result()
    assert (worker == threading.get_ident()) is alone


@pytest.mark.parametrize("named", ["1", "2"])
def test_results_come_in_order_and_errors_where_they_are_asked_for(monkeypatch, named):
    monkeypatch.setenv("OMP_NUM_THREADS", named)

    def fails() -> None:
        raise ValueError("of the work")

    with side_threads(2) as both:
        assert list(both.map(pow, range(9), [2] * 9)) == [n * n for n in range(9)]
        failed = both.submit(fails)
        assert both.submit(pow, 2, 3).result() == 8
        with pytest.raises(ValueError, match="of the work"):
            failed.result()

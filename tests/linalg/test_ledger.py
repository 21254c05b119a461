"""The ledger: named costs, watching, cancel, threads."""

import threading
import time

import pytest
import torch

from explorer.linalg import Cancelled, Ledger, Space, count
from explorer.linalg.ledger import GRACE, count_call
from explorer.operators.base import Identity


def test_without_an_open_ledger_nothing_is_counted_and_nothing_fails():
    count("A")
    count_call(object(), name="A")


def test_costs_and_watching_are_booked_apart():
    ledger = Ledger()
    with ledger.open():
        count("A")
        with ledger.open(watching=True):
            count("A", 3)
        count("A")
    assert ledger.costs == {"A": 2}
    assert ledger.watching == {"A": 3}


def test_an_operator_is_booked_under_the_name_that_the_ledger_knows_it_by():
    A, other = Identity(Space((3,))), Identity(Space((3,)))
    ledger = Ledger({id(A): "A"})
    with ledger.open():
        A(torch.ones(3))
        A.adjoint(torch.ones(3))
        A.gram(torch.ones(3))
        other(torch.ones(3))
    assert ledger.costs == {"A": 2, "Aᴴ": 2}


def test_the_ledger_is_closed_again_after_an_error():
    ledger = Ledger()
    with pytest.raises(ValueError, match="stop"), ledger.open():
        raise ValueError("stop")
    count("A")
    assert not ledger.costs


def test_a_cancel_shows_at_the_next_counted_call():
    ledger = Ledger()
    with ledger.open():
        count("A")
        ledger.cancelled.set()
        time.sleep(GRACE)
        with pytest.raises(Cancelled):
            count("A")
        with pytest.raises(Cancelled):
            Identity(Space((1,)))(torch.ones(1))
    assert ledger.costs == {"A": 1}


def test_a_cancel_lets_a_short_step_come_to_its_end():
    ledger = Ledger()
    ledger.cancelled.set()
    with ledger.open():
        count("A")
    assert ledger.costs == {"A": 1}


def test_two_threads_do_not_mix_their_counts():
    ledgers = {name: Ledger() for name in "ab"}
    ready = threading.Barrier(2)

    def work(name, times):
        with ledgers[name].open():
            ready.wait()
            for _ in range(times):
                count(name)
                time.sleep(0)

    threads = [threading.Thread(target=work, args=args) for args in (("a", 300), ("b", 500))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledgers["a"].costs == {"a": 300}
    assert ledgers["b"].costs == {"b": 500}

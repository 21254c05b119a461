"""History: columns of scalars that grow, on the device until somebody looks."""

import threading

import numpy as np
import pytest
import torch

from explorer.engine.history import CHUNK, History


def filled(rows):
    made = History()
    for row in rows:
        made.append(row)
    return made


def test_columns_are_arrays_with_the_steps_in_front():
    made = filled({"a": torch.tensor([k, 2.0 * k]), "b": float(k), "c": torch.tensor(1.0 * k)} for k in range(5))
    assert made.steps == 5
    np.testing.assert_array_equal(made["a"], [[k, 2 * k] for k in range(5)])
    assert made["b"].tolist() == made["c"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert made["a"].dtype == np.float32
    assert made["a"].flags.writeable  # or torch warns of it


def test_it_is_a_mapping():
    made = filled([{"a": 1.0}])
    assert list(made) == ["a"]
    assert len(made) == 1
    assert "a" in made
    assert "b" not in made
    assert made.get("b") is None
    assert dict(made)["a"].tolist() == [1.0]
    with pytest.raises(KeyError, match="the history has no column 'b'; it has a"):
        made["b"]
    with pytest.raises(KeyError, match="it has none"):
        History()["a"]


@pytest.mark.parametrize("steps", [3, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_step_that_does_not_report_a_column_holds_nan_there(steps):
    rows = [{"a": 1.0 * k, **({"b": torch.tensor([1.0 * k, 2.0])} if k % 3 == 1 else {})} for k in range(steps)]
    made = filled(rows)
    assert made["a"].tolist() == list(range(steps))
    expected = np.array([[k, 2.0] if k % 3 == 1 else [np.nan, np.nan] for k in range(steps)])
    np.testing.assert_array_equal(made["b"], expected)


def test_it_may_be_read_while_it_grows():
    made, read = History(), []
    for k in range(2 * CHUNK + 5):
        made.append({"a": torch.tensor([1.0 * k])})
        if k % 50 == 0:
            read.append(len(made["a"]))
    assert read == [k + 1 for k in range(0, 2 * CHUNK + 5, 50)]
    np.testing.assert_array_equal(made["a"][:, 0], np.arange(2 * CHUNK + 5))


def test_a_scalar_and_one_value_a_sample_in_one_column_broadcast():
    made = filled([{"a": 1.0}] * (CHUNK + 1) + [{"a": torch.tensor([2.0, 3.0])}])
    assert made["a"].shape == (CHUNK + 2, 2)
    assert made["a"][0].tolist() == [1.0, 1.0]
    assert made["a"][-1].tolist() == [2.0, 3.0]


def test_whole_numbers_flags_and_complex_scalars_have_columns():
    made = filled({"n": torch.tensor([k, k]), "f": torch.tensor([k > 1]), "z": torch.tensor(1j * k)} for k in range(3))
    assert made["n"].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    assert made["f"].tolist() == [[0.0], [0.0], [1.0]]
    assert made["z"].tolist() == [0, 1j, 2j]


def test_a_scalar_overwritten_by_the_solver_is_kept_as_it_was():
    made, value = History(), torch.tensor(1.0)
    for _ in range(3):
        made.append({"a": value})
        value += 1
    assert made["a"].tolist() == [1.0, 2.0, 3.0]


def test_a_reader_in_another_thread_sees_whole_columns():
    made, wrong = History(), []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            for name in made:
                column = made[name]
                if len(column) and not (column == np.arange(len(column))).all():
                    wrong.append(name)

    thread = threading.Thread(target=read)
    thread.start()
    for k in range(3000):
        made.append({"a": float(k), "b": torch.tensor(float(k))})
    stop.set()
    thread.join()
    assert not wrong
    assert len(made["a"]) == len(made["b"]) == 3000

"""Block coordinate descent against its loop in NumPy, the lasso, and what row 287 claims of its rules."""

import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from explorer.linalg import Rng, Space
from explorer.operators.base import DenseMatrix
from tests import support
from tests.solvers import test_conformance as promises
from tests.solvers.test_conformance import lasso


def scaled32(subject):
    promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(subject, torch.float32)


def scaled64(subject):
    promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(subject, torch.float64)


def operator(matrix):
    m, n = matrix.shape
    return DenseMatrix(Space((n,), matrix.dtype), Space((m,), matrix.dtype), matrix)


def descend(A, y, count, rng=None, **knobs):
    with torch.no_grad():
        steps = itertools.islice(ex.solvers.block_coordinate_descent(A, y, rng, **knobs), count)
        return [(step.x.clone(), step.scalars["residual"]) for step in steps]


def loop(A, y, steps, size, choice, update):
    """Return the iterates, one block after the other, with gradients and curvatures from the matrix."""
    n = A.shape[1]
    H, c, x, made = A.conj().T @ A, A.conj().T @ y, np.zeros(n, A.dtype), []
    blocks = [np.arange(i, min(i + size, n)) for i in range(0, n, size)]
    own = [H[np.ix_(b, b)] for b in blocks]
    L = [np.linalg.eigvalsh(h)[-1] for h in own]
    score = {
        "gs": lambda g, _: np.linalg.norm(g),
        "gsl": lambda g, i: np.linalg.norm(g) ** 2 / L[i],
        "gsd": lambda g, i: (abs(g) ** 2 / abs(own[i]).sum(1)).sum(),
        "gsq": lambda g, i: (g.conj() @ np.linalg.solve(own[i], g)).real,
    }
    for _ in range(steps):
        for k in range(len(blocks)):
            g = H @ x - c
            i = k if choice == "cyclic" else int(np.argmax([score[choice](g[b], i) for i, b in enumerate(blocks)]))
            b = blocks[i]
            x[b] -= np.linalg.solve(own[i], g[b]) if update == "exact" else g[b] / L[i]
        made.append(x.copy())
    return made


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("update", ["gradient", "exact"])
@pytest.mark.parametrize("choice", ["cyclic", "gs", "gsl", "gsd", "gsq"])
def test_it_is_the_loop_over_blocks_for_every_sample(choice, update, dtype):
    """Blocks of 3 of 11 unknowns, so that the last one is shorter."""
    A = operator(support.normal((15, 11), 0, dtype) * torch.linspace(0.5, 2, 11, dtype=torch.float64))
    y = support.normal((3, 15), 1, dtype)
    made = descend(A, y, 4, block=3, choice=choice, update=update)
    for i in range(3):
        for (x, _), expected in zip(made, loop(A.matrix.numpy(), y[i].numpy(), 4, 3, choice, update), strict=True):
            support.assert_close(x[i], torch.from_numpy(expected), 1e4)


@pytest.mark.parametrize("choice", ["cyclic", "random", "gs", "gsl"])
def test_with_an_l1_term_it_is_the_lasso(choice):
    A, y = support.operator(support.decay(12, 3.0), 16, 12), support.normal((5, 16), 1)
    x, _ = descend(A, y, 150, Rng(0, "order"), choice=choice, weight=0.4, block=3)[-1]
    support.assert_close(x, lasso(A.to_dense(), y, 0.4), 1e3)


def test_the_entries_that_are_zero_are_found_after_finitely_many_steps():
    for seed in support.SEEDS:
        A, y = support.operator(support.decay(30, 5.0), 40, 30, seed), support.normal((5, 40), seed)
        made = descend(A, y, 40, weight=0.5, block=10)
        on = torch.stack([x != 0 for x, _ in made])
        assert not on[-1].all()
        assert (on[15:] == on[-1]).all()
        assert (made[15][0] - made[-1][0]).norm() > 1e-3  # while the values still move


@pytest.mark.parametrize("seed", support.SEEDS)
def test_with_a_finish_the_lasso_is_solved_to_rounding_in_finitely_many_steps(seed):
    """In as many as the support takes; without a finish the values are still under way by then."""
    A, y = support.operator(support.decay(12, 5.0), 16, 12, seed), support.normal((5, 16), seed)
    expected = lasso(A.to_dense(), y, 0.3)
    exact, plain = (descend(A, y, 15, weight=0.3, block=4, finish=finish)[-1][0] for finish in (True, False))
    support.assert_close(exact, expected, 1e4)
    assert support.norm(plain - expected) > 1e-7 * support.norm(expected)


@pytest.mark.parametrize("check", [promises.test_other_samples_change_no_bit, scaled32, scaled64])
def test_a_finish_keeps_samples_apart_and_knows_no_scale(check):
    subject = promises.Subject(solvers["block_coordinate_descent"])
    subject.knobs |= {"finish": True, "weight": 0.3}
    check(subject)


def test_one_block_of_everything_is_a_gradient_step_or_the_answer():
    A, y = support.operator(support.decay(8, 2.0), 10, 8), support.normal((2, 10), 0)
    x, _ = descend(A, y, 1, block=8)[0]
    support.assert_close(x, A.adjoint(y) / A.norm() ** 2, 100)
    x, _ = descend(A, y, 1, block=1000, update="exact")[0]
    support.assert_close(x, torch.linalg.lstsq(A.to_dense(), y.mT).solution.mT, 1000)


def test_what_does_not_go_with_an_l1_term_is_refused():
    A, y = support.operator(support.decay(4, 2.0)), support.normal((4,), 0)
    for knobs in ({"update": "exact"}, {"choice": "gsq"}):
        with pytest.raises(SpecError, match="is for quadratics"):
            descend(A, y, 1, weight=0.1, **knobs)
    complex_ = support.operator(support.decay(4, 2.0), dtype=torch.complex128)
    with pytest.raises(SpecError, match="a complex unknown has no signs"):
        descend(complex_, support.normal((4,), 0, torch.complex128), 1, finish=True)
    with pytest.raises(SpecError, match="needs a random stream"):
        descend(A, y, 1, choice="random")


def sweeps_needed(n, m, decades, seed, choice, limit):
    """Return the steps to a relative gap of 1e-6, for columns whose norms grow over some decades."""
    scales = 10 ** torch.linspace(0, decades, n, dtype=torch.float64)
    A = operator(support.normal((m, n), seed) * scales)
    y = A(support.normal((n,), seed + 9))
    goal = 1e-3 * float(support.norm(y))
    with torch.no_grad():
        steps = ex.solvers.block_coordinate_descent(A, y, Rng(seed, "order"), choice=choice)
        gaps = (float(step.scalars["residual"]) for step in itertools.islice(steps, limit))
        return next((k for k, gap in enumerate(gaps, 1) if gap <= goal), limit)


@pytest.mark.parametrize("seed", support.SEEDS)
def test_the_rule_that_knows_the_curvatures_needs_fewer_steps(seed):
    """60 unknowns whose columns grow over two and a half decades, blocks of 5, gradient updates."""
    needed = {choice: sweeps_needed(60, 120, 2.5, seed, choice, 200) for choice in ("gsl", "gs", "random", "cyclic")}
    assert needed["gsl"] <= 0.6 * needed["gs"]
    assert needed["gsl"] <= 0.7 * needed["random"]
    assert needed["gsl"] <= 0.9 * needed["cyclic"]


@pytest.mark.soak
@pytest.mark.parametrize("seed", support.SEEDS)
def test_the_rule_that_knows_the_curvatures_needs_fewer_steps_for_200_unknowns(seed):
    needed = {choice: sweeps_needed(200, 400, 2.5, seed, choice, 500) for choice in ("gsl", "gs", "random", "cyclic")}
    assert needed["gsl"] < 500
    assert needed["gsl"] <= 0.6 * needed["gs"]
    assert needed["gsl"] <= 0.7 * min(needed["random"], needed["cyclic"])

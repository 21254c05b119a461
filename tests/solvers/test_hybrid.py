"""Hybrid and flexible Krylov methods against dense minimisation over the same space, with λ against a fine search."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import SpecError, operators, solvers
from explorer.linalg import Blocks, Ledger, Rng, Space
from explorer.operators.algebra import BlockDiagonal
from explorer.operators.base import DenseMatrix, Identity
from explorer.solvers.projected import Projected, _weight
from tests import support

every_seed = pytest.mark.parametrize("seed", support.SEEDS)
HYBRID = ["hybrid_lsqr", "hybrid_lsmr", "hybrid_gmres", "flexible_lsqr", "mmgks"]


def steps(name, A, y, count=8, **knobs):
    return list(itertools.islice(getattr(ex.solvers, name)(A, y, **knobs), count))


def krylov(matrix, start, count):
    """Return an orthonormal basis of the Krylov space, a column a power."""
    basis, v = [], start
    for _ in range(count):
        for _ in range(2):
            for b in basis:
                v = v - b * np.vdot(b, v)
        basis.append(v / np.linalg.norm(v))
        v = matrix @ basis[-1]
    return np.stack(basis, 1)


def penalized(matrix, y, V, weight):
    """Return ``argmin ‖M V z − y‖² + λ ‖z‖²`` times V, by dense least squares."""
    k = V.shape[1]
    stacked = np.vstack((matrix @ V, np.sqrt(weight) * np.eye(k)))
    return V @ np.linalg.lstsq(stacked, np.concatenate((y, np.zeros(k))), rcond=None)[0]


def square(seed, dtype=torch.float64):
    space = Space((30,), dtype)
    matrix = support.normal((30, 30), seed, dtype) / 30**0.5 + 1.2 * torch.eye(30, dtype=dtype)
    return DenseMatrix(space, space, matrix)


# --- the iterates ---


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_hybrid_lsqr_and_lsmr_minimise_over_the_krylov_space(seed, dtype):
    A = support.operator(support.decay(20, 1e2), 30, seed=seed, dtype=dtype)
    M, y = A.to_dense().numpy(), support.normal((30,), seed, dtype)
    V = krylov(M.conj().T @ M, M.conj().T @ y.numpy(), 8)
    for name, matrix, data in (
        ("hybrid_lsqr", M, y.numpy()),
        ("hybrid_lsmr", M.conj().T @ M, M.conj().T @ y.numpy()),
    ):
        for k, step in enumerate(steps(name, A, y), 1):
            expected = penalized(matrix, data, V[:, :k], float(step.scalars["regularization"]))
            np.testing.assert_allclose(step.x.numpy(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))
            residual = np.linalg.norm(M @ expected - y.numpy())
            assert float(step.scalars["residual"]) == pytest.approx(residual, rel=1e-9)
            assert float(step.scalars["solution_norm"]) == pytest.approx(np.linalg.norm(expected), rel=1e-9)


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("range_restricted", [False, True])
def test_hybrid_gmres_minimises_over_its_krylov_space(seed, dtype, range_restricted):
    A, y = square(seed, dtype), support.normal((30,), seed + 1, dtype)
    M = A.matrix.numpy()
    V = krylov(M, M @ y.numpy() if range_restricted else y.numpy(), 8)
    for k, step in enumerate(steps("hybrid_gmres", A, y, range_restricted=range_restricted), 1):
        expected = penalized(M, y.numpy(), V[:, :k], float(step.scalars["regularization"]))
        np.testing.assert_allclose(step.x.numpy(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))
        assert float(step.scalars["residual"]) == pytest.approx(np.linalg.norm(M @ expected - y.numpy()), rel=1e-9)


@every_seed
def test_a_whole_space_gives_the_answer_of_the_whole_problem(seed):
    A = support.operator(support.decay(12, 50.0), 16, seed=seed)
    y, M = support.normal((16,), seed), A.to_dense().numpy()
    expected = penalized(M, y.numpy(), np.eye(12), 0.01)
    made = steps("hybrid_lsqr", A, y, 20, choice="fixed", regularization=0.01)[-1]
    np.testing.assert_allclose(made.x.numpy(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))
    plain = steps("mmgks", A, y, 20, choice="fixed", regularization=0.01, transform="entries", power=2.0)[-1]
    np.testing.assert_allclose(plain.x.numpy(), expected, rtol=0, atol=1e-7 * np.linalg.norm(expected))


@every_seed
def test_a_start_is_what_the_penalty_measures_from(seed):
    A = support.operator(support.decay(12, 50.0), 16, seed=seed)
    y, x0 = support.normal((16,), seed), support.normal((12,), seed + 1)
    moved = steps("hybrid_lsqr", A, y, 12, x0=x0, choice="fixed", regularization=0.1)[-1].x
    expected = penalized(A.to_dense().numpy(), (y - A(x0)).numpy(), np.eye(12), 0.1)
    np.testing.assert_allclose((moved - x0).numpy(), expected, rtol=0, atol=1e-9)


def test_a_real_unknown_with_complex_data_is_solved_over_the_reals():
    space = Space((16, 16), torch.float64)
    component = operators["masked_fourier"]
    A = component.bind({"domain": space, "rng": Rng(0, "mask")}, component.check({}))()
    y = A(support.normal(space.shape, 0)) + 0.1 * support.normal(A.codomain.shape, 1, torch.complex128)
    M = A.to_dense().reshape(-1, 256).numpy() if A.codomain.is_complex else None
    assert M is not None
    both, data = np.vstack((M.real, M.imag)), np.concatenate((y.real.flatten(), y.imag.flatten()))
    V = krylov(both.T @ both, both.T @ data, 3)
    for k, step in enumerate(steps("hybrid_lsqr", A, y, 3), 1):
        expected = penalized(both, data, V[:, :k], float(step.scalars["regularization"]))
        np.testing.assert_allclose(step.x.numpy().ravel(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))


def test_blocks_are_one_unknown():
    A = support.operator(support.decay(8, 5.0), 10)
    D = BlockDiagonal(A, 0.5 * A)
    y = Blocks((support.normal((10,), 0), support.normal((10,), 1)))
    M = A.to_dense().numpy()
    whole = scipy.linalg.block_diag(M, 0.5 * M)
    expected = penalized(whole, np.concatenate([b.numpy() for b in y]), np.eye(16), 0.05)
    made = steps("hybrid_lsqr", D, y, 16, choice="fixed", regularization=0.05)[-1].x
    np.testing.assert_allclose(np.concatenate([b.numpy() for b in made]), expected, rtol=0, atol=1e-9)


# --- the parameter ---


@every_seed
def test_cross_validation_finds_the_least_of_its_function(seed):
    C, r = support.normal((9, 8), seed), support.normal((9,), seed + 1)
    C = C * torch.logspace(0, -3, 8, dtype=torch.float64)
    U, s, _ = np.linalg.svd(C.numpy(), full_matrices=False)
    data = U.T @ r.numpy()
    outside = float(r @ r) - data @ data

    def score(logarithm):
        lost = np.exp(logarithm) / (s**2 + np.exp(logarithm))
        return ((lost * data) ** 2).sum() + outside, (9 - (1 - lost).sum()) ** 2

    value = lambda t: np.divide(*score(t))  # noqa: E731
    grid = np.linspace(np.log(s[0] ** 2 * 1e-30), np.log(s[0] ** 2), 4000)
    least = min(map(value, grid))
    _, chosen = Projected("gcv", 0.0).solve(C, r)
    assert value(np.log(float(chosen))) <= least * 1.001


@every_seed
def test_the_weight_makes_the_least_singular_value_stationary(seed):
    s = support.decay(6, 20.0)
    data2, outside2 = support.normal((6,), seed) ** 2, support.normal((), seed + 1) ** 2
    weight = float(_weight(s**2, data2, outside2, 7))

    def log_score(logarithm):
        lost = np.exp(logarithm) / (s.numpy() ** 2 + np.exp(logarithm))
        misfit = (lost**2 * data2.numpy()).sum() + float(outside2)
        return np.log(misfit) - 2 * np.log(abs(7 - weight * (1 - lost).sum()))

    at, h = 2 * np.log(float(s[-1])), 1e-5
    assert abs(log_score(at + h) - log_score(at - h)) / (2 * h) < 1e-7


@every_seed
@pytest.mark.parametrize("name", ["hybrid_lsqr", "hybrid_gmres", "flexible_lsqr", "mmgks"])
def test_the_discrepancy_is_met_as_soon_as_it_can_be(seed, name):
    A = square(seed)
    y = A(support.normal((30,), seed + 2)) + 0.3 * support.normal((30,), seed + 3)
    goal = torch.tensor(0.3 * 30**0.5, dtype=torch.float64)
    made = steps(name, A, y, 20, choice="discrepancy", noise_norm=goal, tau=1.1)
    residual = np.array([float(s.scalars["residual"]) for s in made])
    weight = np.array([float(s.scalars["regularization"]) for s in made])
    met = weight > 0
    assert met.any()
    assert (residual[~met] > 1.1 * float(goal)).all()
    np.testing.assert_allclose(residual[met], 1.1 * float(goal), rtol=0.03)
    assert (residual[met] <= 1.1 * float(goal) * (1 + 1e-9)).all()


def test_the_discrepancy_principle_asks_for_the_noise_in_a_sentence():
    with pytest.raises(SpecError, match="needs the noise level"):
        steps("hybrid_lsqr", square(0), support.normal((30,), 0), choice="discrepancy")


# --- what they are for ---


@pytest.mark.parametrize("name", ["hybrid_lsqr", "hybrid_gmres"])
def test_semi_convergence_is_gone(name):
    spec = ex.RunSpec(
        problem={"name": "coins", "params": {"size": 48}}, operator={"name": "gaussian_blur", "params": {"sigma": 2.0}},
        noise={"name": "gaussian", "params": {"level": 0.03}}, solver=name, draws=5, dtype="float64",
        stop={"name": "budget", "params": {"steps": 60}},
    )  # fmt: skip
    error = ex.run(spec).history["error"]
    plain = ex.run(spec.replace(solver="lsqr")).history["error"]
    assert (error[-1] < 1.05 * error.min(0)).all()
    assert (error[-1] < 1.1 * plain.min(0)).all()
    assert (plain[-1] > 1.5 * plain.min(0)).all()


@every_seed
def test_the_flexible_method_finds_sparse_signals_better(seed):
    wide, space = support.normal((40, 60), seed) / 40**0.5, Space((60,), torch.float64)
    A = DenseMatrix(space, Space((40,), torch.float64), wide)
    x = torch.zeros(60, dtype=torch.float64)
    x[torch.randperm(60, generator=torch.Generator().manual_seed(seed))[:6]] = 1.0
    y = A(x) + 0.01 * support.normal((40,), seed + 5)
    error = lambda name, **knobs: float((steps(name, A, y, 30, **knobs)[-1].x - x).norm() / x.norm())  # noqa: E731
    assert error("flexible_lsqr") < 0.9 * error("hybrid_lsqr")
    assert error("flexible_lsqr", power=2.0) == pytest.approx(error("hybrid_lsqr"), rel=1e-6)


@every_seed
def test_in_the_jumps_of_a_signal_it_finds_what_is_flat_between_few_edges(seed):
    """The same as entries that are sparse under the matrix of cumulative sums, and better than without."""
    wide, space = support.normal((40, 60), seed) / 40**0.5, Space((60,), torch.float64)
    A = DenseMatrix(space, Space((40,), torch.float64), wide)
    jumps = torch.zeros(60, dtype=torch.float64)
    jumps[torch.randperm(60, generator=torch.Generator().manual_seed(seed))[:5]] = support.normal((5,), seed + 3)
    x = jumps.cumsum(0)
    y = A(x) + 0.01 * support.normal((40,), seed + 5)
    sums = DenseMatrix(space, A.codomain, wide @ torch.ones(60, 60, dtype=torch.float64).tril())
    found = steps("flexible_lsqr", A, y, 30, basis="jumps")[-1].x
    support.assert_close(found, steps("flexible_lsqr", sums, y, 30)[-1].x.cumsum(0), 1e9)
    plain = steps("flexible_lsqr", A, y, 30)[-1].x
    assert (found - x).norm() < 0.2 * (plain - x).norm()


def test_an_image_is_not_given_by_jumps():
    space = Space((4, 5), torch.float64)
    with pytest.raises(ex.SpecError, match="use the solver 'mmgks'"):
        steps("flexible_lsqr", Identity(space), torch.ones(4, 5).double(), 1, basis="jumps")


@every_seed
def test_mmgks_lowers_its_objective_and_ends_at_its_minimum(seed):
    A = support.operator(support.decay(20, 10.0), 24, seed=seed)
    x = torch.cat((torch.ones(8), torch.zeros(12))).double()
    y, weight, smoothing = A(x) + 0.02 * support.normal((24,), seed), 0.05, 0.05
    made = steps("mmgks", A, y, 60, choice="fixed", regularization=weight, smoothing=smoothing)
    jumps = lambda v: torch.diff(v, append=v[-1:])  # noqa: E731
    floor = smoothing * float(jumps(made[0].x).abs().max())
    # the majorant of ε √(j² + ε²) has the weight ε / √(j² + ε²) on j²/2
    objective = lambda v: float((A(v) - y) @ (A(v) - y) + weight * 2 * floor * (jumps(v) ** 2 + floor**2).sqrt().sum())  # noqa: E731
    values = np.array([objective(s.x) for s in made[1:]])
    assert (np.diff(values) <= 1e-9 * values[0]).all()
    found = scipy.optimize.minimize(
        lambda v: objective(torch.from_numpy(v)), made[-1].x.numpy(), method="BFGS", options={"gtol": 1e-10}
    )
    assert values[-1] <= found.fun * (1 + 1e-6)


# --- square operators ---


@every_seed
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_bicgstab_is_scipys(seed, dtype):
    A, y = square(seed, dtype), support.normal((30,), seed + 1, dtype)
    past = []
    scipy.sparse.linalg.bicgstab(
        A.matrix.numpy(), y.numpy(), maxiter=6, rtol=0, callback=lambda x: past.append(x.copy())
    )
    for step, expected in zip(steps("bicgstab", A, y, 6), past, strict=False):
        np.testing.assert_allclose(step.x.numpy(), expected, rtol=0, atol=1e-7 * np.linalg.norm(expected))
        assert float(step.scalars["residual"]) == pytest.approx(float((A(step.x) - y).norm()), rel=1e-5)


@every_seed
@pytest.mark.parametrize("inner", [1, 4])
def test_flexible_gmres_takes_the_least_residual_over_its_directions(seed, inner):
    A, y = square(seed), support.normal((30,), seed + 1)
    made = steps("fgmres", A, y, 7, inner=inner)
    M, basis = A.matrix.numpy(), np.stack([s.x.numpy() for s in made], 1)
    for k, step in enumerate(made, 1):  # the iterates span the directions
        t = np.linalg.lstsq(M @ basis[:, :k], y.numpy(), rcond=None)[0]
        least = np.linalg.norm(M @ basis[:, :k] @ t - y.numpy())
        assert float(step.scalars["residual"]) == pytest.approx(least, rel=1e-8)
        assert float((A(step.x) - y).norm()) == pytest.approx(least, rel=1e-8)
    assert made[-1].scalars["residual"] < steps("gmres", A, y, 7)[-1].scalars["residual"] * (1 + 1e-9)


# --- conformance of all ---


def asked():
    return (square(0).to(dtype=torch.float32), support.normal((3, 30), 1, torch.float32))


@pytest.mark.parametrize("name", [*HYBRID, "bicgstab", "fgmres"])
def test_samples_are_apart_and_scale_with_the_data(name):
    A, y = asked()
    plain = [s.x.clone() for s in steps(name, A, y, 6)]
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = mate
        for one, other in zip(plain, steps(name, A, crowd, 6), strict=True):
            support.assert_same_bits(other.x[1:], one[1:])
    for factor in (2.0**-20, 2.0**20):
        for one, other in zip(plain, steps(name, A, factor * y, 6), strict=True):
            support.assert_same_bits(other.x, factor * one)


def test_the_evidence_keeps_samples_apart_and_scales_with_the_data():
    A, y = asked()
    told = {"choice": "evidence", "rng": Rng(0, "probe")}
    plain = [s.x.clone() for s in steps("hybrid_lsqr", A, y, 6, **told)]
    for mate in (0.0, torch.nan, 1e20):
        crowd = y.clone()
        crowd[0] = mate
        for one, other in zip(plain, steps("hybrid_lsqr", A, crowd, 6, **told), strict=True):
            support.assert_same_bits(other.x[1:], one[1:])
    for factor in (2.0**-20, 2.0**20):
        for one, other in zip(plain, steps("hybrid_lsqr", A, factor * y, 6, **told), strict=True):
            support.assert_same_bits(other.x, factor * one)
    assert steps("hybrid_lsqr", A.to("meta"), y.to("meta"), 1, **told)[0].x.is_meta


@pytest.mark.parametrize("name", [*HYBRID, "bicgstab", "fgmres"])
def test_they_stay_where_they_are_when_there_is_nothing_left_to_find(name):
    A, y = asked()
    knobs = {"choice": "fixed", "regularization": 1e-3} if name in HYBRID else {}
    made = steps(name, A, y, 60, **knobs)
    assert support.norm(made[-1].x - made[45].x) <= 1e-4 * support.norm(made[-1].x)
    assert all(torch.isfinite(s.x).all() for s in made)
    zero = steps(name, A, torch.zeros_like(y), 4)
    assert all((s.x == 0).all() for s in zero)


@pytest.mark.parametrize("name", [*HYBRID, "bicgstab", "fgmres"])
def test_nothing_leaves_the_device(name):
    A, y = asked()
    step = next(iter(getattr(ex.solvers, name)(A.to("meta"), y.to("meta"))))
    assert step.x.is_meta
    assert all(v.is_meta for v in step.scalars.values())


@pytest.mark.parametrize("name", ["fgmres"])
def test_inner_steps_are_counted(name):
    A, y = asked()
    ledger = Ledger({id(A): "A"})
    with ledger.open():
        for k, _ in enumerate(itertools.islice(getattr(ex.solvers, name)(A, y, inner=3), 4), 1):
            assert ledger.costs["A"] == 4 * k


@every_seed
def test_rrgmres_has_the_least_residual_over_the_powers_of_the_operator_on_its_image(seed):
    """ "rrgmres" against least squares on an orthonormal basis of ``A y, A² y, …``, by NumPy."""
    A = support.operator(support.decay(12, 50.0), seed=seed)
    y, matrix = support.normal((3, 12), seed), A.to_dense().numpy()
    for i in range(3):
        basis, v = np.zeros((12, 0)), y[i].numpy()
        for step in itertools.islice(solvers["rrgmres"].function(A, y), 6):
            v = matrix @ v
            v = v - basis @ (basis.T @ v)
            v = v - basis @ (basis.T @ v)
            v = v / np.linalg.norm(v)
            basis = np.column_stack((basis, v))
            z = np.linalg.lstsq(matrix @ basis, y[i].numpy(), rcond=None)[0]
            np.testing.assert_allclose(step.x[i].numpy(), basis @ z, atol=1e-9 * np.linalg.norm(z))


def test_rrgmres_lets_noise_in_later_than_gmres():
    """On a symmetric blur with 3 % of noise its least error is lower, for every one of five draws."""
    spec = ex.RunSpec(
        problem={"name": "coins", "params": {"size": 32}}, operator={"name": "gaussian_blur", "params": {"sigma": 2.0}},
        noise={"name": "gaussian", "params": {"level": 0.03}}, draws=5, dtype="float64",
        stop={"name": "budget", "params": {"steps": 20}},
    )  # fmt: skip
    least = {name: ex.run(spec.replace(solver=name)).history["error"].min(0) for name in ("gmres", "rrgmres")}
    assert (least["rrgmres"] < 0.9 * least["gmres"]).all()

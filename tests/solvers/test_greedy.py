"""Greedy pursuit and hard thresholding against textbook loops in NumPy, and what their papers claim."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import SpecError, solvers
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support
from tests.solvers import test_conformance as promises

PURSUITS = ("omp", "lasso_omp", "square_root_lasso_omp", "lad_omp", "sequential_attention")
THRESHOLDS = ("iht", "normalised_iht", "cosamp")


def operator(matrix):
    m, n = matrix.shape
    return DenseMatrix(Space((n,), matrix.dtype), Space((m,), matrix.dtype), matrix)


def gaussian(m, n, seed, dtype=torch.float64):
    """Return a Gaussian matrix with unit columns."""
    matrix = support.normal((m, n), seed, dtype)
    return operator(matrix / torch.linalg.vector_norm(matrix, dim=0))


def sparse(n, entries, draws, seed, dtype=torch.float64):
    """Return normal entries at random places, one support a draw."""
    order = torch.rand((draws, n), generator=support.generator(seed + 50)).argsort(-1)[:, :entries]
    values = support.normal((draws, entries), seed + 60, dtype)
    return torch.zeros(draws, n, dtype=dtype).scatter(-1, order, values)


def steps(name, A, y, count=None, **knobs):
    with torch.no_grad():
        return [(s.x.clone(), s.scalars) for s in itertools.islice(solvers[name](A, y, **knobs), count)]


# --- what every solver promises ---


@pytest.mark.parametrize("name", [*PURSUITS, *THRESHOLDS])
@pytest.mark.parametrize(
    "promise",
    [
        promises.test_other_samples_change_no_bit,
        promises.test_steps_carry_what_is_declared,
        promises.test_neither_the_data_nor_the_start_is_written_to,
        promises.test_no_value_is_read_on_the_host_and_everything_is_on_the_device,
        promises.test_a_step_costs_what_is_declared,
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float32),
        lambda s: promises.test_scaling_the_data_scales_every_iterate_bit_for_bit(s, torch.float64),
    ],
    ids=["isolation", "reports", "inputs", "device", "costs", "scale32", "scale64"],
)
def test_promises(name, promise):
    subject = promises.Subject(solvers[name])
    subject.knobs["sparsity"] = 5
    if promise is not promises.test_a_step_costs_what_is_declared:
        subject.knobs |= {knob: 4 for knob in ("inner", "training") if knob in subject.knobs}
    promise(subject)


@pytest.mark.parametrize("name", ["lasso_omp", "square_root_lasso_omp", "lad_omp"])
def test_weights_of_a_batch_are_a_loop(name):
    promises.test_a_batched_knob_is_a_loop(promises.Subject(solvers[name]), "weight")


# --- orthogonal matching pursuit ---


def textbook(A, y, count):
    """Return the iterates and the order of orthogonal matching pursuit, by a fresh fit each time."""
    norms, support_, r, made = np.linalg.norm(A, axis=0), [], y, []
    for _ in range(count):
        gain = abs(A.conj().T @ r) / norms
        gain[support_] = -1
        support_.append(int(gain.argmax()))
        x = np.zeros(A.shape[1], A.dtype)
        x[support_] = np.linalg.lstsq(A[:, support_], y, rcond=None)[0]
        r = y - A @ x
        made.append(x)
    return made, support_


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("seed", support.SEEDS)
def test_omp_is_the_textbook_loop_for_every_sample(seed, dtype):
    A = operator(support.normal((20, 50), seed, dtype) * torch.linspace(0.1, 3, 50, dtype=torch.float64))
    y = support.normal((3, 20), seed + 10, dtype)
    made = steps("omp", A, y, sparsity=8)
    assert len(made) == 8
    for i in range(3):
        expected, _ = textbook(A.matrix.numpy(), y[i].numpy(), 8)
        for (x, scalars), wanted in zip(made, expected, strict=True):
            support.assert_close(x[i], torch.from_numpy(wanted), 1e4)
            support.assert_close(scalars["residual"][i], torch.linalg.vector_norm(y[i] - A(x[i])), 100)


@pytest.mark.parametrize("name", ["omp", "sequential_attention"])
def test_a_sample_that_is_explained_takes_nothing_more(name):
    A = gaussian(40, 80, 0)
    x = torch.cat([sparse(80, 2, 1, 0), sparse(80, 4, 1, 1), torch.zeros(1, 80, dtype=torch.float64)])
    made = steps(name, A, A(x), sparsity=10)
    assert [(made[-1][0][i] != 0).sum().item() for i in range(3)] == [2, 4, 0]
    support.assert_same_bits(made[2][0][0], made[-1][0][0])
    support.assert_close(made[-1][0], x, 100)


def test_columns_that_depend_on_others_are_left_out():
    """Two columns span the data, and a third that is their sum or one of them again explains nothing."""
    a, b = support.normal((2, 10), 0)
    A = operator(torch.stack([a, a, a + b, b, torch.zeros_like(a)], -1))
    x, _ = steps("omp", A, a + 2 * b)[-1]
    assert (x != 0).sum() == 2
    support.assert_close(A(x), a + 2 * b, 100)


def test_every_image_operator_can_be_pursued():
    spec = ex.RunSpec(
        problem={"name": "spikes", "params": {"size": 64, "count": 4}},
        operator={"name": "gaussian_blur", "params": {"sigma": 1.0}},
        solver={"name": "omp", "params": {"sparsity": 4}},
        dtype="float64",
    )
    run = ex.run(spec)
    assert len(run.history["error"]) == 4
    assert run.reason.name == "FINISHED"


# --- row 222 ---


def decreases(A, y, x, loss, penalty):
    """Return how much each column lowers the loss when it alone moves from zero, by search."""
    r, found = y - A @ x, []
    for a, weight in zip(A.T, penalty, strict=True):
        along = lambda t, a=a, weight=weight: loss(r - t * a) + weight * abs(t)  # noqa: E731
        points = np.append(r / a, 0)
        coarse = min(map(along, points))  # exact for absolute values, whose minimum is at a kink
        fine = min(
            scipy.optimize.minimize_scalar(along, bounds=sorted((0, s * 5)), method="bounded").fun for s in (-1, 1)
        )
        found.append(loss(r) - min(coarse, fine))
    return np.array(found)


LOSSES = {
    "lasso_omp": lambda r: r @ r,
    "square_root_lasso_omp": np.linalg.norm,
    "lad_omp": lambda r: abs(r).sum(),
}


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("name", LOSSES)
def test_the_column_that_lowers_the_loss_most_is_taken(name, seed):
    """Columns of different norms and weights; the first three choices of each method."""
    A = operator(support.normal((12, 15), seed) * torch.linspace(0.5, 1, 15, dtype=torch.float64))
    y, weights = support.normal((12,), seed + 1), 0.5 + torch.rand(15, generator=support.generator(seed)).double()
    matrix = A.matrix.numpy()
    penalty = 0.2 * weights.numpy()
    if name == "square_root_lasso_omp":
        penalty = penalty * np.linalg.norm(matrix, axis=0).max()
    x, taken = np.zeros(15), set()
    for made, scalars in steps(name, A, y, 3, weights=weights, weight=0.2):
        expected = decreases(matrix, y.numpy(), x, LOSSES[name], penalty)
        expected[list(taken)] = 0
        new = set(np.flatnonzero(made.numpy())) - taken
        gain = expected.max() if expected.max() > 1e-9 else 0.0
        assert new == ({int(expected.argmax())} if gain else set())
        np.testing.assert_allclose(scalars["decrease"], gain, rtol=1e-5)
        x, taken = made.numpy(), taken | new


@pytest.mark.parametrize("seed", support.SEEDS)
def test_the_fit_of_least_absolute_deviations_is_that_of_a_linear_programme(seed):
    A, y = operator(support.normal((30, 8), seed)), support.normal((30,), seed + 5)
    x, _ = steps("lad_omp", A, y, sparsity=4, weight=0.0)[-1]
    on = np.flatnonzero(x.numpy())
    assert len(on) == 4
    B, m = A.matrix.numpy()[:, on], 30
    bounds = [(None, None)] * 4 + [(0, None)] * m
    rows = np.block([[B, -np.eye(m)], [-B, -np.eye(m)]])
    best = scipy.optimize.linprog(np.r_[np.zeros(4), np.ones(m)], rows, np.r_[y, -y], bounds=bounds).fun
    assert best * (1 - 1e-12) <= float((y - A(x)).abs().sum()) <= best * (1 + 1e-10)


def test_the_fit_on_many_columns_is_within_a_thousandth_of_the_least_sum():
    for seed in support.SEEDS:
        A, y = operator(support.normal((100, 300), seed)), support.normal((100,), seed + 5)
        x, _ = steps("lad_omp", A, y, sparsity=10, weight=0.0)[-1]
        B, m = A.matrix.numpy()[:, np.flatnonzero(x.numpy())], 100
        bounds = [(None, None)] * B.shape[1] + [(0, None)] * m
        rows = np.block([[B, -np.eye(m)], [-B, -np.eye(m)]])
        best = scipy.optimize.linprog(np.r_[np.zeros(B.shape[1]), np.ones(m)], rows, np.r_[y, -y], bounds=bounds).fun
        assert float((y - A(x)).abs().sum()) <= best * (1 + 1e-3)


@pytest.mark.parametrize("seed", support.SEEDS)
def test_the_best_weight_follows_the_noise_except_for_the_square_root_lasso(seed):
    """Of the weights that come within 1e-4 of the least error, the smallest; noise of norm 1e-3 to 1."""
    A, x = gaussian(100, 300, seed), sparse(300, 10, 1, seed)
    noise = support.normal((100,), seed + 7)
    levels = torch.tensor([1e-3, 1e-2, 1e-1, 1.0], dtype=torch.float64)
    weight = torch.logspace(-4, 1, 41, dtype=torch.float64)
    y = A(x) * 10**0.5 / support.norm(x) + levels[:, None] * noise / support.norm(noise)
    x = x * 10**0.5 / support.norm(x)
    moved = {}
    for name in ("lasso_omp", "square_root_lasso_omp"):
        last, _ = steps(name, A, y[:, None].expand(4, 41, -1), sparsity=30, weight=weight.expand(4, -1))[-1]
        error = (last - x).norm(dim=-1)
        near = error <= error.amin(-1, keepdim=True) * (1 + 1e-4)
        smallest = weight[near.to(torch.int8).argmax(-1)]
        moved[name] = float(smallest.max() / smallest.min())
    assert moved["square_root_lasso_omp"] <= 2
    assert moved["lasso_omp"] >= 100


@pytest.mark.parametrize("seed", support.SEEDS)
def test_gross_errors_in_six_per_cent_of_the_data_do_not_matter_to_absolute_deviations(seed):
    A, x = gaussian(100, 300, seed), sparse(300, 10, 2, seed)
    y = A(x)
    y[:, torch.randperm(100, generator=support.generator(seed))[:6]] += 20 * support.normal((2, 6), seed + 3)
    error = {n: (steps(n, A, y, sparsity=10)[-1][0] - x).norm(dim=-1) / x.norm(dim=-1) for n in ("lad_omp", "omp")}
    assert (error["lad_omp"] <= 1e-3).all()
    assert (error["omp"] >= 1).all()


@pytest.mark.parametrize("seed", support.SEEDS)
@pytest.mark.parametrize("penalty", ["l1", "l0"])
def test_weights_lead_to_where_the_entries_are_expected(seed, penalty):
    """With too few data, low weights on a set that holds the support find it more often than none."""
    A, x = gaussian(40, 200, seed), sparse(200, 12, 8, seed)
    hit = {}
    for low in (1.0, 0.1):
        made = []
        for one in x:
            weights = torch.ones(200, dtype=torch.float64)
            weights[:60] = weights[one != 0] = low
            made.append(steps("lasso_omp", A, A(one), 12, weights=weights, weight=2.0, penalty=penalty)[-1][0])
        hit[low] = float(((torch.stack(made) != 0) & (x != 0)).sum() / (x != 0).sum())
    assert hit[0.1] > hit[1.0] + 0.05


def test_a_median_of_complex_numbers_is_refused():
    A = operator(support.normal((6, 4), 0, torch.complex128))
    with pytest.raises(SpecError, match="whose unknown and data are real"):
        solvers["lad_omp"].build(A=A, y=support.normal((6,), 1, torch.complex128))


# --- row 246 ---


def test_attention_selects_what_orthogonal_matching_pursuit_does():
    """20 trials, 60 × 120, 6 entries: the same columns in the same order and exact recovery in all but one at most."""
    same = exact = 0
    for seed in support.SEEDS:
        A, x = gaussian(60, 120, seed), sparse(120, 6, 4, seed)
        one, other = (steps(name, A, A(x), sparsity=6) for name in ("sequential_attention", "omp"))
        agree = [((a != 0) == (b != 0)).all(-1) for (a, _), (b, _) in zip(one, other, strict=True)]
        same += int(torch.stack(agree).all(0).sum())
        exact += int(((one[-1][0] - x).norm(dim=-1) <= 1e-10 * x.norm(dim=-1)).sum())
    assert same >= 19
    assert exact >= 19


def test_attention_trained_to_the_end_with_a_low_weight_is_another_method():
    """The identity holds for weights just below the largest correlation only: far below, others share attention."""
    same = {}
    for weight, training in ((0.98, 200), (0.5, 100)):
        same[weight] = 0
        for seed in support.SEEDS:
            A, x = gaussian(60, 120, seed), sparse(120, 6, 4, seed)
            trained = steps("sequential_attention", A, A(x), sparsity=6, weight=weight, training=training)
            omp = steps("omp", A, A(x), sparsity=6)
            agree = [((a != 0) == (b != 0)).all(-1) for (a, _), (b, _) in zip(trained, omp, strict=True)]
            same[weight] += int(torch.stack(agree).all(0).sum())
    assert same[0.98] >= 19
    assert same[0.5] <= 16


# --- hard thresholding ---


def keep(x, count):
    out = np.zeros_like(x)
    index = np.argsort(-abs(x), kind="stable")[:count]
    out[index] = x[index]
    return out


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("seed", support.SEEDS)
def test_thresholding_methods_are_their_textbook_loops(seed, dtype):
    A, x = gaussian(30, 60, seed, dtype), sparse(60, 5, 1, seed, dtype)[0]
    y = A(x) + 0.05 * support.normal((30,), seed + 9, dtype)
    matrix, data = A.matrix.numpy(), y.numpy()
    norm2 = float(A.norm() ** 2)
    plain = cosamp = normal = np.zeros(60, matrix.dtype)
    made = [steps(name, A, y, 5, sparsity=5, **({"inner": 60} if name == "cosamp" else {})) for name in THRESHOLDS]
    for found in zip(*made, strict=True):
        plain = keep(plain + matrix.conj().T @ (data - matrix @ plain) / norm2, 5)
        normal = normalised(matrix, data, normal, 5, norm2)
        proxy = matrix.conj().T @ (data - matrix @ cosamp)
        on = np.flatnonzero((keep(proxy, 10) != 0) | (cosamp != 0))
        fitted = np.zeros_like(cosamp)
        fitted[on] = np.linalg.lstsq(matrix[:, on], data, rcond=None)[0]
        cosamp = keep(fitted, 5)
        for (step, _), wanted in zip(found, (plain, normal, cosamp), strict=True):
            support.assert_close(step, torch.from_numpy(wanted), 1e5)


def normalised(A, y, x, count, norm2):
    """Return the next iterate of normalised iterative hard thresholding."""
    g = A.conj().T @ (y - A @ x)
    on = np.flatnonzero(x if x.any() else keep(g, count))
    inside = np.zeros_like(g)
    inside[on] = g[on]
    mu = np.linalg.norm(inside) ** 2 / np.linalg.norm(A @ inside) ** 2
    new = keep(x + mu * g, count)
    change = new - x
    if (
        set(np.flatnonzero(new)) != set(on)
        and mu * np.linalg.norm(A @ change) ** 2 > 0.99 * np.linalg.norm(change) ** 2
    ):
        new = keep(x + 0.99 / norm2 * g, count)
    return new


@pytest.mark.parametrize("name", THRESHOLDS)
def test_sparse_signals_are_found_exactly(name):
    """Thirty draws a seed, 4 entries of 120 from 60 data; half of them with the cautious step of plain thresholding."""
    for seed in support.SEEDS:
        A, x = gaussian(60, 120, seed), sparse(120, 4, 30, seed)
        last, _ = steps(name, A, A(x), 300 if name == "iht" else 60, sparsity=4)[-1]
        found = (last - x).norm(dim=-1) <= 1e-6 * x.norm(dim=-1)
        assert found.double().mean() >= (0.5 if name == "iht" else 0.8)


def test_the_residual_of_normalised_thresholding_never_grows_and_it_knows_no_scale():
    for seed in support.SEEDS:
        A, x = gaussian(40, 120, seed), sparse(120, 8, 20, seed)
        y = A(x) + 0.01 * support.normal((20, 40), seed)
        made = steps("normalised_iht", A, y, 40, sparsity=8)
        residual = torch.stack([scalars["residual"] for _, scalars in made])
        assert (residual.diff(dim=0) <= 1e-12 * support.norm(y)).all()
        larger = steps("normalised_iht", operator(4 * A.matrix), y, 21, sparsity=8)
        support.assert_same_bits(larger[20][0] * 4, made[20][0])

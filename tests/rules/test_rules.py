"""Parameter rules against scalar root finders and minimisers, around direct methods and around Krylov methods."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

import explorer as ex
from explorer.catalogue import rules
from explorer.engine.driver import PATIENCE
from explorer.rules import discrepancy, fixed, gcv
from explorer.rules.select import score, select_parameter
from explorer.solvers import tikhonov, tsvd
from tests import support

#: four grids of 33 over 104 octaves leave 7e-5 of the logarithm of a root, and 6e-4 of that of a minimum
RESOLUTION = 1e-3
SIZE = 60


class Case:
    """Noisy data of an ill-posed problem, five draws, with the spectral formulas of Tikhonov's method in NumPy."""

    def __init__(self, dtype=torch.float64, level=0.02):
        self.A = support.operator(support.decay(SIZE, 1e5), SIZE + 10, SIZE, dtype=dtype)
        u, s, v = (f.double() for f in self.A.factors)
        clean = (u * s) @ (v.T @ torch.linspace(0, 2 * math.pi, SIZE).double().sin())
        noise = support.normal((5, SIZE + 10), 3)
        self.noise_norm = level * clean.norm() * torch.ones(5, dtype=torch.float64)
        self.clean, self.u, self.s = clean.numpy(), u.numpy(), s.numpy()
        self.y = clean + noise * self.noise_norm[0] / math.sqrt(SIZE + 10)

    def filtered(self, j, weight):
        """Return the residual's norm, the degrees of freedom and the error of the predicted data of draw `j`."""
        y, factors = self.y[j].numpy(), self.s**2 / (self.s**2 + weight)
        fitted = self.u @ (factors * (self.u.T @ y))
        return np.linalg.norm(y - fitted), factors.sum(), np.linalg.norm(fitted - self.clean)

    def chosen(self, name, method=tikhonov, power=2, y=None, **params):
        """Return what the rule chooses with `method`, in the precision of the operator, and whether it is resolved."""
        y = (self.y if y is None else y).to(self.A.domain.dtype)
        knob = {tikhonov: "regularization", tsvd: "threshold"}[method]
        noise_norm = params.pop("noise_norm", self.noise_norm)[: len(y)].to(y)

        def evaluate(values):
            found = method(self.A, y.expand(*values.shape, -1), **{knob: values})
            return {**found.scalars, "noise_norm": noise_norm, "data_size": SIZE + 10}

        strongest = self.A.norm().pow(power).expand(len(y))
        rule = rules[name]
        return select_parameter(rule, rule.check(params), evaluate, strongest, strongest * self.A.domain.eps**power)


@pytest.mark.parametrize("tau", [1.0, 1.02, 1.5])
def test_discrepancy_around_tikhonov_finds_the_root(tau):
    """The largest grid point at or below the root of ``‖Ax_λ − y‖ = τ E‖n‖``, to 1e-3."""
    case = Case()
    found, resolved = case.chosen("discrepancy", tau=tau)
    assert resolved.all()
    for j in range(5):
        excess = lambda t, j=j: case.filtered(j, math.exp(t))[0] - tau * float(case.noise_norm[j])  # noqa: E731
        root = math.exp(scipy.optimize.brentq(excess, -40, 5, xtol=1e-12))
        assert root * (1 - RESOLUTION) <= float(found[j]) <= root * (1 + 1e-9)


def test_gcv_around_tikhonov_finds_the_minimum():
    """SciPy's bounded minimiser around the best of a fine grid, to 1e-3."""
    case = Case()
    found, _ = case.chosen("gcv")
    for j in range(5):

        def value(t, j=j):
            residual, dof, _ = case.filtered(j, math.exp(t))
            return residual**2 / (SIZE + 10 - dof) ** 2

        grid = np.linspace(-40, 0, 400)
        at = grid[np.argmin([value(t) for t in grid])]
        least = scipy.optimize.minimize_scalar(value, bounds=(at - 0.2, at + 0.2), options={"xatol": 1e-9})
        assert abs(math.log(float(found[j])) - least.x) <= RESOLUTION


def test_gcv_predicts_the_data_nearly_as_well_as_can_be():
    """Golub, Heath & Wahba: the predictive error at its minimum is near the least; within a quarter in every draw."""
    case = Case()
    found, _ = case.chosen("gcv")
    for j in range(5):
        least = min(case.filtered(j, math.exp(t))[2] for t in np.linspace(-30, 2, 300))
        assert case.filtered(j, float(found[j]))[2] <= 1.25 * least


def test_discrepancy_around_truncation_keeps_as_few_values_as_will_do():
    case = Case()
    found, resolved = case.chosen("discrepancy", tsvd, 1)
    assert resolved.all()
    for j in range(5):
        data = case.u.T @ case.y[j].numpy()
        outside = np.linalg.norm(case.y[j].numpy()) ** 2 - np.linalg.norm(data) ** 2
        left = np.sqrt(outside + np.array([np.sum(data[k:] ** 2) for k in range(SIZE + 1)]))
        needed = int(np.argmax(left <= 1.02 * float(case.noise_norm[j])))
        assert int((case.s > float(found[j])).sum()) == needed


@pytest.mark.parametrize("name", ["discrepancy", "gcv"])
@support.every_precision
def test_a_draw_gets_the_same_parameter_alone_or_among_others(name, dtype):
    case = Case(dtype)
    together, _ = case.chosen(name)
    for j in range(5):
        alone, _ = case.chosen(name, y=case.y[j : j + 1])
        assert abs(math.log(float(together[j]) / float(alone[0]))) <= (RESOLUTION if dtype == torch.float64 else 0.02)


@pytest.mark.parametrize("name", ["discrepancy", "gcv"])
def test_the_scale_of_the_data_changes_no_bit_of_the_parameter(name):
    case = Case()
    plain, _ = case.chosen(name)
    for factor in (2.0**-20, 2.0**20):
        scaled, _ = case.chosen(name, y=factor * case.y, noise_norm=factor * case.noise_norm)
        support.assert_same_bits(scaled, plain)


def test_a_residual_that_cannot_be_reached_is_said_so_and_the_weakest_taken():
    case = Case()
    noise_norm = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]).double() * case.noise_norm
    found, resolved = case.chosen("discrepancy", noise_norm=noise_norm)
    assert resolved.tolist() == [True, False, True, False, True]
    assert (found[[1, 3]] < 1e-25).all()


def test_the_scores():
    assert not fixed().any()
    residual, noise = torch.tensor([2.0, 1.0]), torch.tensor(1.0)
    assert discrepancy(residual, noise, tau=1.5).tolist() == [0.5, -0.5]
    assert gcv(residual, torch.tensor([8.0, 10.0]), 10).tolist() == [1.0, math.inf]
    with pytest.raises(ex.catalogue.SpecError, match="expected norm of the noise"):
        score(rules["discrepancy"], {"tau": 1.0}, {"residual": residual})


# --- around iterative methods, through the driver ---


def krylov(solver, rule):
    return ex.run(
        ex.RunSpec(
            problem={"name": "blocks", "params": {"size": 64}},
            operator={"name": "gaussian_blur", "params": {"sigma": 2.0}},
            noise={"name": "gaussian", "params": {"level": 0.05}},
            solver=solver,
            rule=rule,
            stop={"name": "budget", "params": {"steps": 80}},
            draws=5,
            dtype="float64",
        )
    )


@pytest.mark.parametrize("solver", ["lsqr", "cgls"])
def test_gcv_around_a_krylov_method_takes_the_step_of_least_score(solver):
    run = krylov(solver, "gcv")
    dof = run.history["dof"]
    scores = np.where(dof < 64, run.history["residual"] ** 2 / (64 - dof) ** 2, np.inf)
    for j, column in enumerate(scores.T):  # the least so far, until so many steps have brought nothing less
        later = [k for k in range(1, len(column)) if column[: k + 1].argmin() <= k - PATIENCE]
        assert run.stopped.step[j] == column[: (later[0] if later else len(column)) + 1].argmin() + 1
    assert len(set(run.stopped.step)) > 1


@pytest.mark.parametrize("solver", ["lsqr", "cgls", "landweber", "fista"])
def test_discrepancy_around_an_iteration_takes_the_first_step_within_the_noise(solver):
    run = krylov(solver, "discrepancy")
    within = run.history["residual"] <= 1.02 * run.problem["noise_norm"].numpy()
    assert within.any(0).all()
    assert run.stopped.step.tolist() == (within.argmax(0) + 1).tolist()


def test_lsqr_and_cgls_are_stopped_at_the_same_steps():
    assert krylov("lsqr", "discrepancy").stopped.step.tolist() == krylov("cgls", "discrepancy").stopped.step.tolist()

"""Row 294: how fast the risk of a filter falls with data, from closed forms that simulations confirm."""

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import analyses
from explorer.engine.build import build
from explorer.labs.statistics.spectral_algorithms import SequenceModel, blocks_of_modes, circle_model, filtered
from tests import support


def curve(**knobs):
    return analyses["spectral_learning_curve"].build(**knobs)


def test_row_294_rates_of_ridge_and_gradient_flow_and_saturation():
    """Deterministic, hence without seeds: measured .503/.503, .661/.662, .739 against .807."""
    slope = {
        (kappa, kind): curve(kappa=kappa, kind=kind).slope
        for kappa in (1.0, 2.0, 4.5)
        for kind in ("ridge", "gradient_flow")
    }
    for kappa in (1.0, 2.0):
        for kind in ("ridge", "gradient_flow"):
            assert slope[kappa, kind] == pytest.approx(kappa / (kappa + 1), abs=0.03)
    assert slope[4.5, "ridge"] == pytest.approx(0.75, abs=0.03)
    assert slope[4.5, "gradient_flow"] >= slope[4.5, "ridge"] + 0.04


def test_saturation_is_said_and_the_optimal_filter_is_never_beaten():
    made = {kind: curve(kappa=4.5, kind=kind) for kind in ("ridge", "gradient_flow", "cutoff", "optimal")}
    assert made["ridge"].saturated
    assert "a sharper filter" in made["ridge"].sentence
    assert not any(made[kind].saturated for kind in ("gradient_flow", "cutoff"))
    for kind in ("ridge", "gradient_flow", "cutoff"):
        assert (made[kind].risk >= made["optimal"].risk * (1 - 1e-12)).all()


def test_the_loss_sits_at_particular_scales_of_the_spectrum():
    """Variance, and bias without saturation, sit at l ~ N^{1/(m+1)}; the bias of saturated ridge at the first modes."""
    smooth, sharp = curve(kappa=4.5), curve(kappa=4.5, kind="gradient_flow")
    grown = lambda scale: np.polyfit(np.log(smooth.observations), np.log(scale), 1)[0]  # noqa: E731
    assert smooth.bias_scale.max() <= 3
    assert grown(smooth.variance_scale) == pytest.approx(1 / 4, abs=0.05)
    assert grown(sharp.bias_scale) == pytest.approx(1 / 5.5, abs=0.08)
    rough = curve(kappa=1.0)
    assert grown(rough.bias_scale) == pytest.approx(1 / 2, abs=0.05)
    assert grown(rough.variance_scale) == pytest.approx(1 / 2, abs=0.05)


def test_blocks_of_modes_give_the_sums_of_single_ones():
    mode, weights = blocks_of_modes()
    for power, zeta in ((2.0, np.pi**2 / 6), (4.0, np.pi**4 / 90)):
        assert float((weights * mode**-power).sum()) == pytest.approx(zeta, rel=1e-6)
    made = SequenceModel(mode**-1.5, mode**-3.0, weights, torch.tensor(1e-3, dtype=torch.float64))
    single = torch.arange(1, 2**17, dtype=torch.float64)
    each = SequenceModel(single**-1.5, single**-3.0, torch.ones_like(single), made.noise)
    for kind in ("ridge", "gradient_flow"):
        eta = torch.tensor(1e-3, dtype=torch.float64)
        a, b = (sum(p.sum() for p in m.parts(filtered(kind, m.values, eta))) for m in (made, each))
        assert float(a) == pytest.approx(float(b), rel=1e-4)


def test_the_risk_is_the_mean_error_of_the_predicted_data_of_a_solver():
    """Tikhonov on the problem "power_law_coefficients", at each of five seeds."""
    draws, size, level = 400, 256, 0.02
    for seed in support.SEEDS:
        spec = ex.RunSpec(
            problem={"name": "power_law_coefficients", "params": {"size": size}}, operator=None, noise="none", seed=seed
        )
        P = build(spec.replace(dtype="float64"))
        mode = torch.arange(1, size + 1, dtype=torch.float64)
        y = P["A"](P.x_true) + level * support.normal((draws, size), seed)
        x = ex.solvers.tikhonov(P["A"], y, regularization=0.1).x
        noise = torch.tensor(level**2, dtype=torch.float64)
        made = SequenceModel(mode**-1.5, mode**-3.0, torch.ones_like(mode), noise)
        expected = float(sum(p.sum() for p in made.parts(filtered("ridge", made.values, torch.tensor(0.1)))))
        risk = (P["A"](x - P.x_true) ** 2).sum(-1)
        assert float(risk.mean()) == pytest.approx(expected, rel=4 * float(risk.std() / risk.mean()) / draws**0.5)


def test_the_circle_is_kernel_regression_on_a_grid():
    """Against a dense kernel matrix at shifted grid points, with targets of random phases."""
    N, nu, kappa, sigma, eta, draws = 15, 3.0, 3.0, 0.3, 0.02, 2000
    k = np.arange(-200, 201)
    lam, c = (1.0 + 2 * np.abs(k)) ** -nu, (1.0 + 2 * np.abs(k)) ** (-(kappa + 1) / 2)
    made = circle_model(N, nu, kappa, torch.tensor(sigma**2 / N, dtype=torch.float64))
    h = filtered("ridge", made.values, torch.tensor(eta, dtype=torch.float64))
    expected = float(sum(p.sum() for p in made.parts(h)))
    errors = []
    for seed in support.SEEDS:
        rng = np.random.default_rng(seed)
        x = (np.arange(N) + rng.uniform()) * 2 * np.pi / N
        basis = np.exp(1j * np.outer(x, k))
        K = (basis * lam) @ basis.conj().T
        f = c * np.exp(2j * np.pi * rng.uniform(size=(draws, len(k))))
        noise = (rng.normal(size=(draws, N)) + 1j * rng.normal(size=(draws, N))) * sigma / 2**0.5
        fitted = np.linalg.solve(K + N * eta * np.eye(N), (f @ basis.T + noise).T).T @ basis.conj() * lam
        errors.append((np.abs(fitted - f) ** 2).sum(1).mean())
    assert np.mean(errors) == pytest.approx(expected, rel=0.02)


def test_models_agree_with_noise_and_only_with_noise():
    """Universality: with noise the ratio of their risks goes to 1, without it the circle still cannot see aliases."""
    for kind in ("ridge", "gradient_flow"):
        knobs = {"kind": kind, "kappa": 2.0, "first": 2**6, "last": 2**14, "points": 5}
        ratio = curve(model="circle", **knobs).risk / curve(**knobs).risk
        assert (np.abs(np.diff(ratio)) < 0.2).all()
        assert (np.diff(np.abs(ratio - 1)) < 0).all()
        assert abs(ratio[-1] - 1) < 0.05
    exact = curve(model="circle", sigma=0.0, kappa=2.0, first=2**6, last=2**12, points=4)
    assert exact.slope == pytest.approx(2, abs=0.1)
    assert curve(sigma=0.0, kappa=2.0, first=2**6, last=2**12, points=4).risk.max() < 1e-6 * exact.risk.min()


def test_choices_that_make_no_sense_are_refused():
    with pytest.raises(ex.SpecError, match="above the smallest"):
        curve(first=64, last=32)
    with pytest.raises(ex.SpecError, match="at most"):
        curve(model="circle", last=2**16)
    with pytest.raises(ex.SpecError, match="finite sum"):
        curve(model="circle", nu=0.8, last=2**10)

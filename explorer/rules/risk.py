"""Rules that need no noise level, or estimate a risk: weighted GCV, UPRE, L-curve, quasi-optimality, evidence, …."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from explorer.catalogue import Component, Linear, rule
from explorer.operators.base import LinearOperator


@rule(
    "Weighted cross-validation",
    papers=["Chung, Nagy & O'Leary 2008: A weighted-GCV method for Lanczos-hybrid regularization"],
    equation=r"\min\; \|A x_\lambda - y\|^2 / (m - \omega\,\mathrm{dof}_\lambda)^2",
    picks="minimum",
    works="Hybrid methods, on whose small problems plain GCV smooths too much.",
    fails="Correlated noise; tiny, severely ill-posed problems.",
)
def weighted_gcv(
    residual: Tensor,
    dof: Tensor,
    data_size: int,
    *,
    omega: Annotated[float, Linear(0.1, 3, help="weight ω: 1 is plain cross-validation, more smooths more")] = 1.4,
) -> Tensor:
    """Generalised cross-validation that counts every degree of freedom ω times."""
    free = data_size - omega * dof
    return torch.where(torch.as_tensor(free > 0), residual**2 / free**2, torch.inf)


@rule(
    "Predictive risk (UPRE, SURE)",
    papers=[
        "Mallows 1973: Some comments on Cp",
        "Stein 1981: Estimation of the mean of a multivariate normal distribution",
    ],
    equation=r"\min\; \|A x_\lambda - y\|^2 + 2\sigma^2\,\mathrm{dof}_\lambda",
    picks="minimum",
    works="White noise of known level.",
    fails="A level that is wrong; few data, with which its minimum is flat.",
)
def upre(residual: Tensor, dof: Tensor, data_size: int, noise_norm: Tensor) -> Tensor:
    """Take the candidate of least unbiased estimate of the error of the predicted data; needs the noise level.

    For white Gaussian noise the predictive risk estimator and Stein's are the same. Iterative methods estimate the
    degrees of freedom by a random probe, which is the Monte-Carlo form.
    """
    return residual**2 + 2 * noise_norm**2 / data_size * dof


@rule(
    "L-curve",
    papers=[
        "Hansen 1992: Analysis of discrete ill-posed problems by means of the L-curve",
        "Hansen & O'Leary 1993: The use of the L-curve in the regularization of discrete ill-posed problems",
        "Regińska 1996: A regularization parameter in discrete ill-posed problems",
    ],
    equation=r"\max\; \kappa(\lambda)\ \text{of}\ (\log\|A x_\lambda - y\|, \log\|x_\lambda\|)",
    picks="minimum",
    of_direct=("growth", "curvature"),
    works="Curves with a clear corner; correlated noise does it less harm.",
    fails="Very smooth unknowns, which make no corner; as the noise falls, it does not find the best parameter.",
)
def l_curve(
    residual: Tensor,
    solution_norm: Tensor,
    growth: Tensor | None = None,
    regularization: Tensor | None = None,
    lost: Tensor | None = None,
    curvature: Tensor | None = None,
) -> Tensor:
    """Take the corner of the curve of ‖x‖ against ‖Ax − y‖: its point of largest curvature.

    With ρ = ‖Ax − y‖², η = ‖x‖² and ′ for d/d log λ, stationarity gives ρ′ = −λ η′, so that second derivatives cancel:
    ``κ = 2 λ (1 + η′/η + λ η′/ρ) / (ρ η |η′| (λ²/ρ² + 1/η²)^{3/2})`` for Tikhonov's method; other filters tell their
    curvature. Truncation makes a staircase, which has none.

    Candidates that lose less than one degree of freedom are left out: there the curve has ended, and rounding bends it.

    Steps of an iteration are points and have no curvature. Of them the one of least product ‖x‖ ‖Ax − y‖ is taken,
    which a line of slope −1 meets first in logarithms (Regińska).
    """
    if curvature is not None:
        return torch.where(torch.as_tensor(True if lost is None else lost >= 1), -curvature, torch.inf)
    if growth is None or regularization is None:
        return residual * solution_norm
    rho, eta, weight = residual**2, solution_norm**2, regularization
    # in the ratios a = λη/ρ and s = η′/η, which have no unit
    a, s = weight * eta / rho, growth / eta
    kappa = 2 * a * (1 + s + a * s) / (s.abs() * (a**2 + 1) ** 1.5)
    bent = s < 0 if lost is None else (s < 0) & (lost >= 1)
    return torch.where(bent, -kappa, torch.inf)


@rule(
    "Quasi-optimality",
    papers=[
        "Tikhonov & Glasko 1965: Use of the regularization method in non-linear problems",
        "Bauer & Reiß 2008: Regularization independent of the noise level: an analysis of quasi-optimality",
    ],
    equation=r"\min\; \|\lambda\, \mathrm{d}x_\lambda / \mathrm{d}\lambda\|",
    picks="minimum",
    works="Noise of unknown level, and a fine grid of parameters.",
    fails="It can settle in a false minimum at an end of the grid.",
)
def quasi_optimality(sensitivity: Tensor, dof: Tensor | None = None, lost: Tensor | None = None) -> Tensor:
    """Take the candidate at which the solution changes least with the logarithm of the parameter.

    Far outside the useful range nothing changes at all; candidates that keep, or lose, less than one degree of freedom
    are left out. Of a truncated expansion it is the norm of the last part. The parameter of an iteration whose filter
    factors depend on its steps alone is their number k, and ``k ‖x_k − x_{k−1}‖`` is least.
    """
    if dof is None or lost is None:
        return sensitivity
    return torch.where((dof >= 1) & (lost >= 1), sensitivity, torch.inf)


def _no_posterior(solver: Component, params: Mapping[str, Any]) -> str:
    """Return the end of the sentence on a method under whose answers no data are likely or unlikely, else nothing."""
    if "log_lost" in solver.traits.get("on_request", ()):
        knob = solver.traits.get("shrinks")
        if knob is None or params[knob] < 1:
            return ""
        return f"filter factors below 1, and the {knob} of {solver.title} is {params[knob]:g}: set it below 1"
    if "choice" in solver.knobs:
        own = "evidence" in solver.knobs["choice"].choices
        why = "it chooses λ itself: " + ("set its choice to 'evidence'" if own else "use Hybrid LSQR, which can by it")
    elif "krylov" in solver.traits:
        why = "its filter factors depend on the data, and pass 1"
    elif "tunes" in solver.traits:
        why = "it keeps directions whole, and a prior that lets them has no size"
    elif "filter" in solver.traits:
        why = "its filter factors pass 1, or its weights are those of other noise"
    else:
        why = "what it makes of the data is no symmetric matrix, the same for all of them"
    return f"an answer that is the posterior mean of one Gaussian model, and that of {solver.title} is none: {why}"


@rule(
    "Evidence (marginal likelihood)",
    papers=[
        "MacKay 1992: Bayesian interpolation",
        "Wahba 1985: A comparison of GCV and GML for choosing the smoothing parameter",
    ],
    equation=r"\min\; m \log\langle y, y - A x_\lambda\rangle - \textstyle\sum_i \log(1 - \varphi_i)",
    picks="minimum",
    refuses=_no_posterior,
    works="Unknowns and noise that are as Gaussian as the model says.",
    fails="Photographs, which are not: it picks too little.",
)
def evidence(inner: Tensor, log_lost: Tensor, data_size: int, flat: Tensor | None = None) -> Tensor:
    """Take the candidate under which the data are most likely, for Gaussian noise and prior of unknown sizes.

    The noise variance is the one that maximises the likelihood, ``⟨y, y − Ax⟩ / m``. Directions that a penalty does not
    see have a flat prior: the likelihood is that of the other data, and m their number.

    An answer whose filter factors are below 1 whatever the data is such a posterior mean, with the prior variance
    ``σ² φ / (1 − φ)`` of a direction of A x: Tikhonov's and other smooth filters, and steps of Landweber's and
    Richardson's iterations that are shorter than the inverse of the largest eigenvalue. The prior of k such steps
    grows exponentially in its strong directions, so that the choice depends on the length of a step and is early.
    """
    size = data_size if flat is None else data_size - flat
    return size * inner.log() - log_lost


@rule(
    "Monotone error rule",
    papers=[
        "Tautenhahn & Hämarik 1999: The use of monotonicity for choosing the regularization parameter",
        "Hämarik & Palm 2007: On rules for stopping the conjugate gradient type methods in ill-posed problems",
    ],
    equation=r"\langle r_\lambda, r_{2,\lambda}\rangle / \|r_{2,\lambda}\| = \tau\, \mathbb{E}\|n\|",
    picks="first",
    works="Noise of known level: up to where it stops the error surely falls.",
    fails="A level that is under-stated, with which nothing is sure.",
)
def monotone_error(
    iterated: Tensor,
    noise_norm: Tensor,
    *,
    tau: Annotated[float, Linear(0.5, 5, help="safety factor τ ≥ 1 when the noise level is exact")] = 1.0,
) -> Tensor:
    r"""Lower the parameter as long as the error is sure to fall with it; r₂ is the residual of iterated Tikhonov.

    A step ``x_{k+1} = x_k + Aᴴ z_k`` surely lowers the error while ``⟨r_k + r_{k+1}, z_k⟩ / (2 ‖z_k‖) > τ ‖n‖``.
    """
    return iterated - tau * noise_norm


@rule(
    "Whiteness of the residual (NCP)",
    papers=[
        "Hansen, Kilmer & Kjeldsen 2006: Exploiting residual information in the parameter choice for discrete "
        "ill-posed problems"
    ],
    equation=r"\min\; \| c(A x_\lambda - y) - c_\mathrm{white} \|",
    picks="minimum",
    works="White noise of unknown level.",
    fails="Coloured noise, of which no residual ever looks white.",
)
def ncp(whiteness: Tensor, A: LinearOperator, y: Tensor) -> Tensor:  # noqa: ARG001 - what whiteness is made of
    """Take the candidate whose residual looks most like white noise: its cumulative periodogram is a straight line."""
    return whiteness


@rule(
    "Oracle (knows the truth)",
    equation=r"\min\; \|x_\lambda - x\|",
    picks="minimum",
    works="Tests, where the truth is known.",
    fails="In earnest: it asks for the truth.",
)
def oracle(error: Tensor, has_truth: bool) -> Tensor:  # noqa: ARG001 - without a truth there is no error
    """Take the candidate nearest to the truth: what no rule can know, to measure the others by."""
    return error

r"""Receive beamforming from few pilots: linear estimates ``ŝ = W x`` of what was sent, and how to make them robust.

Row 243: Wang, Dai & Li 2024: Distributionally robust receive beamforming. Antennas receive ``x = H s + v``. From L
pilots one knows the sample moments R_sx and R_x. The best W for the worst covariance within ε of R_x is diagonal
loading, ``W = R_sx (R_x + ε I)⁻¹``; with the features of a kernel the same is kernel ridge regression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import Capability, Help, Linear, Log, SpecError, analysis, problem, solver
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.problems.base import Truth
from explorer.solvers.steps import Solution

Signals = Literal["qpsk", "gaussian"]
Robust = Literal["loading", "threshold"]

_PAPERS = ["row 243", "Wang, Dai & Li 2024: Distributionally robust receive beamforming"]
#: candidates for ε relative to the mean eigenvalue of the sample covariance
_GRID = torch.logspace(-4, 1, 26, dtype=torch.float64)


class Pilots(LinearOperator):
    """``W ↦ W X``: what weights W make of the pilots X that were received.

    Parameters
    ----------
    domain : Space
        Complex weights, shape ``(users, antennas)``.
    received : Tensor
        X, shape ``(antennas, L)``.
    """

    title = "the pilots received"

    def __init__(self, domain: Space, received: Tensor) -> None:
        super().__init__(domain, Space((domain.shape[0], received.shape[-1]), domain.dtype, domain.device))
        self.received = received

    def _forward(self, x: Tensor) -> Tensor:
        return x @ self.received

    def _adjoint(self, y: Tensor) -> Tensor:
        return y @ self.received.mH


PILOTS = Capability("pilots received by antennas", lambda A: isinstance(A, Pilots))


def sample_moments(X: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``R_sx = S Xᴴ / L`` and ``R_x = X Xᴴ / L``."""
    return S @ X.mH / X.shape[-1], X @ X.mH / X.shape[-1]


def robust_weights(R_sx: Tensor, R_x: Tensor, amount: Tensor, kind: Robust = "loading") -> Tensor:
    """Return ``R_sx (R_x + ε I)⁻¹``, or with the eigenvalues of R_x raised to ε where they are below.

    Parameters
    ----------
    R_sx, R_x : Tensor
        Shapes ``(*batch, users, antennas)`` and ``(*batch, antennas, antennas)``.
    amount : Tensor
        ε in the unit of R_x, shape ``(*batch,)``.
    """
    values, vectors = torch.linalg.eigh(R_x)
    floor = amount.unsqueeze(-1)
    raised = values + floor if kind == "loading" else torch.maximum(values, floor)
    return (R_sx @ vectors / raised.unsqueeze(-2)) @ vectors.mH


def left_out_error(kernel: Tensor, S: Tensor, amounts: Tensor) -> Tensor:
    """Return the leave-one-out error of kernel ridge regression over the pilots for each of some amounts.

    Pilot i is missed by ``(S (K + λ)⁻¹)_i / ((K + λ)⁻¹)_ii`` when it is left out; linear regression has ``K = Xᴴ X``.

    Parameters
    ----------
    kernel : Tensor
        K, shape ``(*batch, L, L)``.
    S : Tensor
        Shape ``(*batch, users, L)``.
    amounts : Tensor
        λ > 0, shape ``(*batch, c)``.

    Returns
    -------
    Tensor
        Mean squared error, shape ``(*batch, c)``.
    """
    values, U = torch.linalg.eigh(kernel)
    inverse = 1 / (values.unsqueeze(-2) + amounts.unsqueeze(-1))
    diagonal = inverse.to(U.abs().dtype) @ (U.abs() ** 2).mT
    missed = ((S @ U).unsqueeze(-3) * inverse.unsqueeze(-2)) @ U.mH.unsqueeze(-3)
    return (missed.abs() / diagonal.unsqueeze(-2)).square().mean((-2, -1))


def loading_left_out(X: Tensor, S: Tensor) -> Tensor:
    """Return the ε of a grid, in the unit of R_x, whose leave-one-out error on the pilots is least."""
    L = X.shape[-1]
    unit = X.abs().square().mean((-2, -1))
    amounts = _GRID.to(unit.device, unit.dtype) * unit.unsqueeze(-1)
    error = left_out_error(X.mH @ X, S, L * amounts)
    return amounts.expand(error.shape).gather(-1, error.argmin(-1, keepdim=True)).squeeze(-1)


@solver(
    "Robust beamformer",
    papers=[*_PAPERS, "Cox, Zeskind & Owen 1987: Robust adaptive beamforming"],
    equation=r"\min_W \max_{\|\Delta\| \le \varepsilon} \mathrm{tr}\, W (R_x + \Delta) W^H"
    r" - 2\,\mathrm{Re}\,\mathrm{tr}\, W R_{sx}^H",
    reports=("residual", "loading"),
    works="Few pilots, or impulses in the noise: the loading keeps the weights from following them.",
    fails="Noise known to be white, where an estimated channel does better; symbols that no linear map brings out.",
)
def robust_beamformer(
    A: Annotated[LinearOperator, PILOTS],
    y: Tensor,
    *,
    kind: Annotated[
        Robust, Help("add ε to all eigenvalues of the covariance, or raise the small ones to it")
    ] = "loading",
    choose: Annotated[Literal["left_out", "given"], Help("ε by leaving out one pilot at a time, or as given")] = (
        "left_out"
    ),
    loading: Annotated[
        float | Tensor, Log(0, 100, help="ε relative to the mean eigenvalue of the covariance", batched=True)
    ] = 0.1,
) -> Solution:
    """Weights that are best for the worst covariance near the sample's; no channel is estimated.

    Since ``tr W Δ Wᴴ`` is largest at ``Δ = ε I``, the worst case adds ``ε ‖W‖²``: this is ridge regression.
    """
    assert isinstance(A, Pilots)
    X = A.received
    unit = X.abs().square().mean()
    amount = torch.as_tensor(loading, dtype=unit.dtype, device=unit.device) * unit
    if choose == "left_out":
        amount = loading_left_out(X, y)
    amount = amount.expand(A.codomain.batch(y))
    R_sx, R_x = sample_moments(X, y)
    x = robust_weights(R_sx, R_x, amount, kind)
    return Solution(x, residual=A.codomain.norm(y - A(x)), loading=amount / unit)


def sent(rng: Rng, shape: tuple[int, ...], kind: Signals) -> Tensor:
    """Return symbols of power one: (±1 ± i)/√2, or complex normal ones."""
    if kind == "gaussian":
        return rng.normal(shape, torch.complex128)
    signs = [rng.fork(part).normal(shape, torch.float64).sign() for part in ("real", "imaginary")]
    return torch.complex(*signs) / math.sqrt(2)


def impulsive(rng: Rng, shape: tuple[int, ...], power: float, rate: float, strength: float) -> Tensor:
    """Return complex normal noise of this power, a fraction `rate` of which is `strength` times as powerful."""
    scale = torch.where(rng.fork("where").uniform(shape, torch.float64) < rate, math.sqrt(strength), 1.0)
    return math.sqrt(power) * scale * rng.fork("values").normal(shape, torch.complex128)


Antennas = Annotated[int, Log(1, 256, help="number of antennas")]
Users = Annotated[int, Log(1, 64, help="number of users, each sending one symbol at a time")]
PilotCount = Annotated[int, Log(2, 4096, help="number L of pilots")]
Decibel = Annotated[float, Linear(-20, 60, unit="dB", help="power of a user's signal over that of the noise")]
Rate = Annotated[float, Linear(0, 1, help="fraction of noise samples that are impulses")]
Strength = Annotated[float, Log(1, 1e6, help="power of an impulse over that of other noise")]


@problem("Beamforming from pilots", papers=_PAPERS)
def beamforming(
    rng: Rng,
    *,
    antennas: Antennas = 8,
    users: Users = 3,
    pilots: PilotCount = 10,
    snr: Decibel = 10.0,
    impulses: Rate = 0.0,
    strength: Strength = 100.0,
    signals: Annotated[Signals, Help("what is sent")] = "qpsk",
) -> Truth:
    """A random channel and the pilots that came through it; the truth is the best W for the true covariances.

    The data are the pilots sent, so that least squares is the beamformer of the sample moments.
    """
    power = 10 ** (-snr / 10)
    H = rng.fork("channel").normal((antennas, users), torch.complex128)
    S = sent(rng.fork("pilots"), (users, pilots), signals)
    X = H @ S + impulsive(rng.fork("noise"), (antennas, pilots), power, impulses, strength)
    W = best_weights(H, power * (1 - impulses + impulses * strength))
    A = Pilots(Space((users, antennas), torch.complex128), X)
    Y = A.codomain
    return Truth(W, {"A": A, "F": A, "codomain": Y, "y": S, "data_norm": Y.norm(S), "data_size": 2 * Y.size})


def best_weights(H: Tensor, power: Tensor | float) -> Tensor:
    """Return ``Hᴴ (H Hᴴ + σ² I)⁻¹``, of least mean squared error."""
    identity = torch.eye(H.shape[-2], dtype=H.dtype, device=H.device)
    scale = torch.as_tensor(power, dtype=H.dtype, device=H.device)[..., None, None]
    return torch.linalg.solve(H @ H.mH + scale * identity, H).mH


@dataclass(frozen=True)
class BeamformerErrors:
    """Mean squared errors a symbol of several beamformers, averaged over random channels.

    Attributes
    ----------
    sample, loaded, threshold, kernel, best : float
        Least squares on the pilots; diagonal loading and eigenvalues raised, both by leave-one-out; kernel ridge
        regression; the true covariances.
    channel, white : float
        An estimated channel with the nominal noise power, and with the power that the fit leaves, taken as white.
    trials : dict
        The same of every trial, shape ``(trials,)`` each.
    sentence : str
        What this means.
    """

    sample: float
    loaded: float
    threshold: float
    channel: float
    white: float
    kernel: float
    best: float
    trials: dict[str, np.ndarray]
    sentence: str


@analysis("Beamformers compared", papers=_PAPERS, equation=r"\mathbb{E}\, \|s - W x\|^2 / \text{users}")
@torch.no_grad()
def beamformer_errors(
    *,
    antennas: Antennas = 8,
    users: Users = 3,
    pilots: PilotCount = 10,
    snr: Decibel = 10.0,
    impulses: Rate = 0.0,
    strength: Strength = 100.0,
    signals: Annotated[Signals, Help("what is sent")] = "qpsk",
    trials: Annotated[int, Log(1, 10_000, help="random channels")] = 200,
    tests: Annotated[int, Log(1, 10_000, help="symbols on which the kernel's estimate is tried")] = 100,
    seed: Annotated[int, Linear(0, 2**31, help="seed of channels, signals and noise")] = 0,
) -> BeamformerErrors:
    """Average errors of beamformers from few pilots, some of which may be hit by impulses.

    Linear ones are judged by the true covariances, exactly; the kernel's (a Gaussian, of the width of the median
    distance of pilots) by fresh symbols. The channel is estimated by least squares. With the noise's sample covariance
    in full, that way gives the beamformer of the sample moments again; with the nominal power it does not know of
    impulses; knowing that the noise is white and fitting its power, it knows more than any other here.

    Raises
    ------
    SpecError
        If there are too few pilots to estimate a channel and its noise.
    """
    if pilots <= users:
        raise SpecError(f"is {pilots}, and must be above the number of users, {users}", "pilots")
    rng, power = Rng(seed, "beamformers"), 10 ** (-snr / 10)
    H = rng.fork("channel").normal((trials, antennas, users), torch.complex128)
    S = sent(rng.fork("pilots"), (trials, users, pilots), signals)
    X = H @ S + impulsive(rng.fork("noise"), (trials, antennas, pilots), power, impulses, strength)
    S_new = sent(rng.fork("symbols"), (trials, users, tests), signals)
    X_new = H @ S_new + impulsive(rng.fork("fresh"), (trials, antennas, tests), power, impulses, strength)
    total = power * (1 - impulses + impulses * strength)
    moments, amount = sample_moments(X, S), loading_left_out(X, S)
    estimate = torch.linalg.lstsq(S.mT, X.mT).solution.mT
    noise = (X - estimate @ S).abs().square().sum((-2, -1)) / (antennas * (pilots - users))
    weights = {
        "sample": S @ torch.linalg.pinv(X),
        "loaded": robust_weights(*moments, amount),
        "threshold": robust_weights(*moments, amount, "threshold"),
        "channel": best_weights(estimate, torch.full_like(noise, power)),
        "white": best_weights(estimate, noise),
        "best": best_weights(H, torch.full((trials,), total, dtype=torch.float64)),
    }
    found = {name: _expected_error(W, H, total) for name, W in weights.items()}
    found["kernel"] = (kernel_estimate(X, S, X_new) - S_new).abs().square().mean((-2, -1))
    mean = {name: float(errors.mean()) for name, errors in found.items()}
    return BeamformerErrors(
        **mean,
        trials={name: errors.numpy() for name, errors in found.items()},
        sentence=f"With {pilots} pilots the error is {mean['sample']:.3g} by sample moments, {mean['loaded']:.3g} with "
        f"loading and {mean['channel']:.3g} by way of the channel at nominal noise; the least "
        f"possible is {mean['best']:.3g}.",
    )


def _expected_error(W: Tensor, H: Tensor, power: float) -> Tensor:
    """Return ``E ‖s − W x‖² / users`` for signals of power one and noise of this power, shape ``(trials,)``."""
    missed = torch.eye(H.shape[-1], dtype=H.dtype) - W @ H
    return (missed.abs().square().sum((-2, -1)) + power * W.abs().square().sum((-2, -1))) / H.shape[-1]


def kernel_estimate(X: Tensor, S: Tensor, fresh: Tensor) -> Tensor:
    """Return ``S (K + λ I)⁻¹ k(x)`` at fresh columns, with λ by leaving out one pilot at a time.

    Parameters
    ----------
    X, S, fresh : Tensor
        Shapes ``(*batch, antennas, L)``, ``(*batch, users, L)`` and ``(*batch, antennas, m)``.
    """
    L = X.shape[-1]
    distance2 = _distances2(X, X)
    upper = torch.triu_indices(L, L, 1)
    width2 = 2 * distance2[..., upper[0], upper[1]].median(-1).values[..., None, None]
    K = torch.exp(-distance2 / width2)
    amounts = L * _GRID.expand(*K.shape[:-2], -1) / 10
    best = left_out_error(K.to(S.dtype), S, amounts).argmin(-1, keepdim=True)
    ridge = amounts.gather(-1, best).unsqueeze(-1) * torch.eye(L, dtype=K.dtype)
    cross = torch.exp(-_distances2(X, fresh) / width2)
    return S @ torch.linalg.solve(K + ridge, cross).to(S.dtype)


def _distances2(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances of all pairs of columns, shape ``(*batch, L, m)``."""
    size = [z.abs().square().sum(-2) for z in (a, b)]
    return (size[0].unsqueeze(-1) + size[1].unsqueeze(-2) - 2 * (a.mH @ b).real).clamp(min=0)

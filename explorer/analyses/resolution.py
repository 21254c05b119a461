"""What a linear method can tell apart: point responses, data resolution, the null space, posterior variance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.analyses.filters import FILTERING, factors_at
from explorer.analyses.spectrum import SINGLE, within_reach
from explorer.catalogue import Linear, Log, SpecError, analysis, solvers
from explorer.linalg import Rng, Space
from explorer.linalg.block_krylov import Flat
from explorer.operators.base import LinearOperator
from explorer.solvers.cgls import cgls
from explorer.solvers.freedom import Influence

#: unknowns (or data) up to which a diagonal is computed exactly, one application an entry: in the singular basis, and
#: where every application is a run of CGLS
EXACT, EXACT_RUNS = 4096, 256
#: Krylov methods that can be run again with their step lengths held
_HELD = ("lengths", "AᴴA + λI")


class Basis:
    """The singular basis of an operator within reach, as maps between elements and coefficients in one order.

    Attributes
    ----------
    s : Tensor
        Singular values, shape ``(k,)``.
    """

    def __init__(self, A: LinearOperator) -> None:
        self.A, self.flat = A, Flat(A)
        self._svd = A.svd() if A.has_svd else None
        if self._svd is not None:
            self.s = self._svd.s.reshape(-1)
            return
        matrix = A.to_dense()
        if self.flat.paired:
            matrix = torch.stack((matrix.real, matrix.imag), 1).reshape(-1, matrix.shape[1])
        self._u, self.s, self._vh = torch.linalg.svd(matrix, full_matrices=False)

    @property
    def eigenvalues(self) -> Tensor:
        """Of a self-adjoint operator: the singular values with their signs."""
        if self.A.positive:
            return self.s
        if self._svd is None:
            return self.s * (self._u.conj() * self._vh.mH).sum(0).real.sign()
        one = torch.ones(self._svd.s.shape, dtype=self._svd.V.domain.dtype, device=self.s.device)
        return self.s * self._svd.U.adjoint(self._svd.V(one)).real.sign().reshape(-1)

    def of_unknown(self, x: Tensor) -> Tensor:
        """Return ``Vᴴ x``, shape ``(*batch, k)``."""
        batch = self.A.domain.batch(x)
        if self._svd is not None:
            return self._svd.V.adjoint(x).reshape(*batch, -1)
        return x.reshape(*batch, -1) @ self._vh.mT

    def unknown(self, c: Tensor) -> Tensor:
        """Return ``V c``."""
        if self._svd is not None:
            return self._svd.V(c.reshape(*c.shape[:-1], *self._svd.s.shape))
        return (c @ self._vh.conj()).reshape(*c.shape[:-1], *self.A.domain.shape)

    def of_data(self, y: Tensor) -> Tensor:
        """Return ``Uᴴ y``, shape ``(*batch, k)``."""
        batch = self.A.codomain.batch(y)
        if self._svd is not None:
            return self._svd.U.adjoint(y).reshape(*batch, -1)
        return self.flat.flat(y) @ self._u.conj()

    def data(self, c: Tensor) -> Tensor:
        """Return ``U c``."""
        if self._svd is not None:
            return self._svd.U(c.reshape(*c.shape[:-1], *self._svd.s.shape))
        return self.flat.data(c @ self._u.mT)


def basis_of(A: LinearOperator) -> Basis:
    """Return the singular basis of an operator within reach; computed once and kept with it."""
    if "_cache_basis" not in A.__dict__:
        A.__dict__["_cache_basis"] = Basis(A)
    found: Basis = A.__dict__["_cache_basis"]
    return found


@dataclass(frozen=True)
class Resolution:
    """What a linear method makes of points, ``x_method = R x_true`` without noise.

    Attributes
    ----------
    points : NDArray of int
        Where they are, shape ``(p, ndim)``.
    responses : Tensor
        ``R eⱼ``, shape ``(p, *domain.shape)``. R is self-adjoint for methods that filter singular values, so that
        these are also the rows: averaging kernels, the weights with which the truth enters the answer at the point.
    gain : NDArray
        ``Rⱼⱼ``: 1 where a point is fully resolved, 0 where the data say nothing; shape ``(p,)``.
    width : NDArray
        Full width at half maximum, in pixels: side of a square (interval, cube) with as many pixels; shape ``(p,)``.
    model, data : Tensor
        Diagonals of R and of the data resolution ``A K``, in the shapes of domain and codomain; the latter says how
        much each datum determines its own fit. Both sum to the degrees of freedom.
    error : tuple of float
        Standard errors of an entry of the two, 0 where exact.
    dof : float
        Trace of R.
    sentence : str
    """

    points: NDArray[np.integer]
    responses: Tensor
    gain: NDArray[np.floating]
    width: NDArray[np.floating]
    model: Tensor
    data: Tensor
    error: tuple[float, float]
    dof: float
    sentence: str


@dataclass(frozen=True)
class PointResponse:
    """What a linear method makes of one point of size one, without noise.

    Attributes
    ----------
    at : tuple of int
        Where it is.
    response : Tensor
        ``R eⱼ`` in the shape of the domain.
    gain : float
        ``Rⱼⱼ``: its height at the point.
    width : float
        Full width at half maximum, in pixels: side of a square (interval, cube) with as many pixels.
    sentence : str
    """

    at: tuple[int, ...]
    response: Tensor
    gain: float
    width: float
    sentence: str


@analysis(
    "Resolution",
    papers=[
        "Backus & Gilbert 1968: The resolving power of gross earth data",
        "Bekas, Kokiopoulou & Saad 2007: An estimator for the diagonal of a matrix",
    ],
    equation=r"R = K A,\quad N = A K",
)
@torch.no_grad()
def resolution(
    A: Annotated[LinearOperator, SINGLE],
    history: Mapping[str, Any],
    solver: Annotated[str, FILTERING],
    settings: Mapping[str, Any],
    *,
    points: Annotated[int, Linear(1, 64, help="points along the diagonal of the domain")] = 5,
    step: Annotated[int, Log(0, 100_000, unit="steps", help="after so many steps; 0: the last")] = 0,
    probes: Annotated[int, Log(2, 4096, help="random probes of the diagonals of a large operator")] = 64,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the probes")] = 0,
) -> Resolution:
    """How sharply a run of a linear method sees points, and how much each datum counts.

    Within reach of a decomposition the method is its filter factors; CGLS on a larger operator is run again with the
    step lengths of the run held, on the data of the point. Diagonals of more than 4096 entries, or 256 there, are
    probed by random signs. A method that depends on the data is taken as the linear map that it was for them, of the
    first sample.

    Raises
    ------
    SpecError
        If the operator is too large for the method's filter factors, and the method is not CGLS.
    """
    X, Y = A.domain, A.codomain
    steps = len(next(iter(history.values())))
    model, datum = _maps(A, history, solver, settings, min(step or steps, steps))
    places = np.stack([np.linspace(0, n - 1, points + 2)[1:-1].round().astype(int) for n in X.shape], -1)
    units = X.zeros((points,))
    units[(torch.arange(points), *torch.from_numpy(places).T)] = 1
    responses = model(units)
    ones = units.reshape(points, -1).abs().double()
    gain = (responses.reshape(points, -1).abs().double() * ones).sum(-1)
    width = _widths(responses, X)
    rng = Rng(seed, "analysis/resolution")
    exact = EXACT if within_reach(A) else EXACT_RUNS
    diagonal, wrong = diagonal_of(model, X, probes, rng.fork("model"), exact)
    leverage, off = diagonal_of(datum, Y, probes, rng.fork("data"), exact)
    dof = float(diagonal.double().sum())
    said = (
        f"A point of size one comes back with {100 * float(gain.min()):.2g} to {100 * float(gain.max()):.2g} % of its "
        f"height and a width of {float(width.median()):.2g} pixels; {dof:.3g} degrees of freedom for {X.size:,} "
        "unknowns."
    )
    return Resolution(
        places, responses, gain.cpu().numpy(), width.cpu().numpy(), diagonal, leverage, (wrong, off), dof, said
    )


def _widths(responses: Tensor, space: Space) -> Tensor:
    """Return the full width at half maximum of each response, shape ``(p,)``."""
    flat = responses.reshape(-1, space.size).abs().double()
    return (flat >= flat.amax(-1, keepdim=True) / 2).sum(-1).double() ** (1 / space.ndim)


@torch.no_grad()
def point_response(
    A: LinearOperator,
    history: Mapping[str, Any],
    solver: str,
    settings: Mapping[str, Any],
    at: tuple[int, ...],
    step: int = 0,
) -> PointResponse:
    """Return what a run of a linear method would make of a single point: its data go through the same method.

    Costs as much as `step` steps where structure gives no decomposition. Of a method that depends on the data it is
    the linear map that it was for them.

    Parameters
    ----------
    A : LinearOperator
    history : mapping
        Of the run, columns of shape ``(steps, *batch)``; of the first sample.
    solver : str
        Name of the method.
    settings : mapping
        Its knobs.
    at : tuple of int
        Index of the point in the domain.
    step : int
        After so many steps; 0 means the last.

    Raises
    ------
    SpecError
        If the method is not linear or tells no filter, or the operator is too large for its filter factors.
    """
    if solver not in solvers or not FILTERING.admits(solver):
        title = solvers[solver].title if solver in solvers else repr(solver)
        raise SpecError(
            f"{title} has no point response: it is no linear method that tells its filter, and what it makes of a "
            "point depends on everything around it; run CGLS or Tikhonov to see one",
            "solver",
        )
    if not SINGLE.admits(A):
        raise SpecError(f"a point response needs {SINGLE.says}, and {A.title} is not one")
    X = A.domain
    assert isinstance(X, Space)
    if len(at) != X.ndim or not all(0 <= i < n for i, n in zip(at, X.shape, strict=True)):
        raise SpecError(f"there is no point {at} in {X}", "at")
    steps = len(next(iter(history.values())))
    unit = X.zeros()
    unit[at] = 1
    response = _of_point(A, unit, history, solver, settings, min(step or steps, steps))
    gain, width = float(response[at].abs()), float(_widths(response, X)[0])
    where = f"sample {at[0]}" if X.ndim == 1 else f"pixel {at}"
    said = (
        f"A point of size one at {where} comes back with {100 * gain:.2g} % of its height and {width:.2g} "
        f"{'sample' if X.ndim == 1 else 'pixel'}{'s' if f'{width:.2g}' != '1' else ''} wide."
    )
    return PointResponse(tuple(at), response, gain, width, said)


def _of_point(
    A: LinearOperator, unit: Tensor, history: Mapping[str, Any], solver: str, settings: Mapping[str, Any], k: int
) -> Tensor:
    """Return ``R eⱼ``, by the steps of the method itself where they do not depend on the data."""
    traits = solvers[solver].traits
    if A.has_svd or "filter" not in traits or "per_step" not in traits:
        return _maps(A, history, solver, settings, k, dense=traits.get("krylov") != _HELD)[0](unit[None])[0]
    steps = solvers[solver].bind({"A": A, "y": A(unit)}, settings)()
    return next(islice(steps, k - 1, None)).x


def _maps(
    A: LinearOperator, history: Mapping[str, Any], solver: str, settings: Mapping[str, Any], k: int, dense: bool = True
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return ``R = K A`` and ``N = A K`` of a method, of its first sample, as maps; through a `dense` matrix or not."""
    if A.has_svd or (dense and within_reach(A)):
        basis = basis_of(A)
        on_A = solvers[solver].traits.get("krylov", ("", ""))[1] == "A"
        values = (basis.eigenvalues if on_A else basis.s).cpu().numpy().astype(np.float64)
        found = factors_at(values, history, solver, settings, k)
        factors = torch.from_numpy(np.ascontiguousarray(found.reshape(-1, len(values))[0])).to(basis.s)
        return lambda x: basis.unknown(factors * basis.of_unknown(x)), lambda y: basis.data(factors * basis.of_data(y))
    if solvers[solver].traits.get("krylov") != _HELD:
        raise SpecError(f"{A.title} is too large for the filter factors of {solver!r}: run 'cgls'", "solver")
    lengths = [np.asarray(history[name]).reshape(len(history[name]), -1)[:k, 0] for name in ("alpha", "beta")]
    damping = float(np.asarray(settings.get("damping", 0.0)).reshape(-1)[0])

    def invert(y: Tensor) -> Tensor:
        again = Influence(A, y, damping)
        for alpha, beta in zip(*lengths, strict=True):
            again.follow(*(torch.full(A.codomain.batch(y), float(v), dtype=torch.float64) for v in (alpha, beta)))
        return again.x

    return lambda x: invert(A(x)), lambda y: A(invert(y))


def diagonal_of(
    apply: Callable[[Tensor], Tensor], space: Space, probes: int, rng: Rng, exact: int = EXACT
) -> tuple[Tensor, float]:
    """Return the diagonal of a self-adjoint map, and the standard error of an entry (root mean square over entries).

    Up to `exact` entries it is computed; else ``E[z ⊙ R z]`` over random signs z is estimated.
    """
    chunk = max(1, 2**22 // space.size)
    if space.size <= exact:
        parts = []
        for start in range(0, space.size, chunk):
            at = torch.arange(start, min(start + chunk, space.size), device=space.device)
            unit = space.zeros((len(at),)).reshape(len(at), -1)
            unit[torch.arange(len(at)), at] = 1
            made = apply(unit.reshape(-1, *space.shape)).reshape(len(at), -1)
            parts.append(made[torch.arange(len(at)), at].real)
        return torch.cat(parts).reshape(space.shape), 0.0
    total = total2 = torch.zeros(space.shape, dtype=torch.float64, device=space.device)
    for start in range(0, probes, chunk):
        count = min(chunk, probes - start)
        signs = (rng.fork(str(start)).uniform((count, *space.shape), torch.float64, space.device) < 0.5) * 2.0 - 1
        signs = signs.to(space.dtype)
        product = (signs * apply(signs)).real.double()
        total, total2 = total + product.sum(0), total2 + (product**2).sum(0)
    mean = total / probes
    spread = (total2 / probes - mean**2).clamp(min=0) / max(probes - 1, 1)
    return mean, float(spread.mean().sqrt())


@dataclass(frozen=True)
class NullSpace:
    """The truth taken apart into what the data can tell and what they cannot.

    Attributes
    ----------
    seen, hidden : Tensor
        Their sum is the truth.
    share : float
        ``‖hidden‖ / ‖truth‖``: no method without prior knowledge gets below that error.
    rank : int
        Number of directions that are seen.
    sentence : str
    """

    seen: Tensor
    hidden: Tensor
    share: float
    rank: int
    sentence: str


@analysis("Null-space component", equation=r"x = A^+ A x + (I - A^+ A) x")
@torch.no_grad()
def null_space(
    A: Annotated[LinearOperator, SINGLE],
    x_true: Tensor,
    *,
    cutoff: Annotated[
        float, Log(0, 1, unit="‖A‖", help="singular values up to this are not seen; 0: up to rounding")
    ] = 0.0,
    steps: Annotated[int, Log(1, 10_000, unit="steps", help="for a large operator: steps of CGLS")] = 200,
) -> NullSpace:
    """The part of the truth of which the data say nothing, or nothing above the cutoff.

    Of an operator too large to decompose, the part is what CGLS has not found from exact data after so many steps.
    """
    X = A.domain
    norm = float(X.norm(x_true))
    if within_reach(A):
        basis = basis_of(A)
        largest = float(basis.s.max())
        level = max(cutoff, max(X.size, A.codomain.size) * X.eps) * largest
        kept = basis.s > level
        seen, rank = basis.unknown(kept.to(basis.s.dtype) * basis.of_unknown(x_true)), int(kept.sum())
    else:
        seen, rank = X.zeros(), 0
        for step, _ in zip(cgls(A, A(x_true)), range(steps), strict=False):
            seen, rank = step.x.clone(), rank + 1
    share = float(X.norm(x_true - seen)) / norm if norm else 0.0
    what = f"{rank:,} of {X.size:,} directions are seen" if within_reach(A) else f"after {rank} steps of CGLS"
    said = f"{100 * share:.2g} % of the truth is in what the data do not tell: {what}."
    return NullSpace(seen, x_true - seen, share, rank, said)


@dataclass(frozen=True)
class Posterior:
    """A Gaussian posterior: what is known of each unknown after the data.

    Attributes
    ----------
    mean : Tensor
        Of the posterior, in the shape of the domain (of the first sample of the data).
    deviation : Tensor
        Standard deviation of each unknown, in the unit of the unknown.
    samples : Tensor
        Draws, shape ``(draws, *domain.shape)``.
    error : float
        Relative standard error of `deviation`: 0 where exact, else ``1/√(2 (N − 1))`` of N draws.
    sentence : str
    """

    mean: Tensor
    deviation: Tensor
    samples: Tensor
    error: float
    sentence: str


@analysis(
    "Gaussian posterior",
    papers=[
        "Tarantola 1987: Inverse problem theory",
        "Papandreou & Yuille 2010: Gaussian sampling by local perturbations",
    ],
    equation=r"C = (A^H A / \sigma^2 + I / \delta^2)^{-1}",
)
@torch.no_grad()
def posterior(
    A: Annotated[LinearOperator, SINGLE],
    y: Tensor,
    noise_norm: Tensor,
    *,
    prior_deviation: Annotated[float, Log(1e-12, 1e12, help="δ of the prior: independent unknowns of mean zero")] = 1.0,
    draws: Annotated[int, Log(1, 4096, help="samples of the posterior")] = 64,
    steps: Annotated[int, Log(1, 10_000, unit="steps", help="for a large operator: steps of CGLS a draw")] = 100,
    seed: Annotated[int, Linear(0, 2**31 - 1, help="seed of the samples")] = 0,
) -> Posterior:
    """Mean, standard deviation and samples under white noise of the expected norm and a white Gaussian prior.

    Within reach of a decomposition the variance is exact up to 4096 unknowns. Beyond, a draw is the answer to perturbed
    data and a perturbed prior, ``argmin ‖A x − y − σ e‖²/σ² + ‖x − δ w‖²/δ²``: exactly a sample of the posterior where
    CGLS has converged; the variance is then that of the draws.

    Raises
    ------
    SpecError
        If the noise level is zero or the unknown is complex.
    """
    X, Y = A.domain, A.codomain
    if X.is_complex or Y.is_complex:
        raise SpecError(f"{A.title} is complex, and the posterior is of a real problem", "A")
    sigma = float(noise_norm.reshape(-1)[0]) / math.sqrt(Y.size)
    if sigma <= 0:
        raise SpecError(f"the noise level is {sigma:g}, and must be positive: add noise", "noise")
    delta, weight = prior_deviation, (sigma / prior_deviation) ** 2
    data = y.reshape(-1, *Y.shape)[0]
    rng = Rng(seed, "analysis/posterior")
    w = delta * rng.fork("prior").normal((draws, *X.shape), X.dtype, X.device)
    if within_reach(A):
        basis = basis_of(A)
        passed = basis.s**2 / (basis.s**2 + weight)
        mean = basis.unknown(basis.s / (basis.s**2 + weight) * basis.of_data(data))
        less = 1 - (1 - passed).sqrt()  # C^{1/2} = δ (I − V (1 − √(1 − φ)) Vᴴ)
        samples = mean + w - basis.unknown(less * basis.of_unknown(w))
        known = None
        if X.size <= EXACT:
            known, _ = diagonal_of(lambda x: basis.unknown(passed * basis.of_unknown(x)), X, 1, rng)
    else:
        e = sigma * rng.fork("noise").normal((draws, *Y.shape), Y.dtype, Y.device)
        shifted = torch.cat((data[None], data + e - A(w)))
        found = _regularized(A, shifted, weight, steps)
        mean, samples, known = found[0], found[1:] + w, None
    if known is not None:
        deviation, error = delta * (1 - known).clamp(min=0).sqrt(), 0.0
    else:
        deviation, error = samples.std(0), 1 / math.sqrt(2 * max(draws - 1, 1))
    learnt = 1 - float((deviation.double() ** 2).mean()) / delta**2
    said = (
        f"The data take away {100 * learnt:.2g} % of the prior variance; the deviation of an unknown is "
        f"{float(deviation.min()):.3g} to {float(deviation.max()):.3g}, before the data {delta:.3g}"
        + (f" (each to {100 * error:.2g} %, from {draws} draws)." if error else ".")
    )
    return Posterior(mean, deviation, samples, error, said)


def _regularized(A: LinearOperator, y: Tensor, weight: float, steps: int) -> Tensor:
    x = A.domain.zeros(A.codomain.batch(y))
    for step, _ in zip(cgls(A, y, damping=weight), range(steps), strict=False):
        x = step.x
    return x.clone()

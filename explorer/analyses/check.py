"""Whether an operator is what it says: the tests that a person's own operator should pass, in sentences."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from explorer.analyses.spectrum import Decay, fitted_decay, values_of, within_reach
from explorer.catalogue import SpecError
from explorer.linalg import Rng, Space
from explorer.operators.base import LinearOperator
from explorer.operators.foreign import as_operator

#: random pairs of every test
PAIRS = 3
#: seconds within which an application is timed again and again
TIMED = 0.2
#: leading values that are asked of an operator too large to decompose
LEADING = 32


@dataclass(frozen=True)
class OperatorCheck:
    """What was found of an operator.

    Attributes
    ----------
    passed : bool
        Whether it is linear, finite and has its adjoint.
    linearity, adjoint : float
        Largest relative gaps of ``A(u + cv) = Au + cAv`` and of ``⟨Au, v⟩ = ⟨u, Aᴴv⟩``; rounding is allowed.
    tolerance : float
        The largest gap that counts as rounding.
    norm : float
        Spectral norm.
    seconds, seconds_adjoint : float
        Time of one application and of its adjoint.
    decay : Decay or None
        How fast singular values fall, where they could be had.
    sentences : tuple of str
        The same in words, what failed first.
    """

    passed: bool
    linearity: float
    adjoint: float
    tolerance: float
    norm: float
    seconds: float
    seconds_adjoint: float
    decay: Decay | None
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)


@torch.no_grad()
def check_operator(A: Any, domain: Any = None, codomain: Any = None, **options: Any) -> OperatorCheck:
    """Test an operator: linearity, dot test, norm, time, decay of its singular values.

    Parameters
    ----------
    A : LinearOperator, or anything that :func:`explorer.as_operator` takes
        A wrong adjoint of a person's own functions is reported, not refused.
    domain, codomain, **options
        As of :func:`explorer.as_operator`.

    Returns
    -------
    OperatorCheck

    Raises
    ------
    SpecError
        If it is no linear operator at all.

    Examples
    --------
    >>> import torch
    >>> found = check_operator(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
    >>> found.passed, round(found.norm, 3)
    (True, 4.0)
    """
    A = as_operator(A, domain, codomain, check=False, **options)
    if not isinstance(A, LinearOperator):
        raise SpecError(f"{A.title} is not linear: only linear operators have an adjoint to test", "A")
    X, Y = A.domain, A.codomain
    tolerance = 100 * max(X.eps, Y.eps) * max(1.0, min(X.size, Y.size) ** 0.5)
    linearity = adjoint = 0.0
    for pair in range(PAIRS):
        u, w, v = (s.random(Rng(0, f"check/{n}/{pair}")) for s, n in ((X, "u"), (X, "w"), (Y, "v")))
        Au, Aw, back = A.forward(u), A.forward(w), A.adjoint(v)
        linearity = max(linearity, _gap(float(Y.norm(A.forward(u + 2.0 * w) - Au - 2.0 * Aw)), Y.norm(Au) + Y.norm(Aw)))
        products = complex(Y.inner(v, Au)), complex(X.inner(back, u))
        gap = products[0] - products[1]
        gap = gap.real if X.is_complex != Y.is_complex else gap  # inner products are then real parts
        adjoint = max(adjoint, _gap(abs(gap), Y.norm(Au) * Y.norm(v) + X.norm(u) * X.norm(back)))
    fine = linearity <= tolerance and adjoint <= tolerance
    norm = float(A.norm()) if fine else float("nan")
    seconds, seconds_adjoint = timed(A.forward, X.random(Rng(0, "u"))), timed(A.adjoint, Y.random(Rng(0, "v")))
    decay = _decay(A) if fine and norm > 0 else None
    said = [_linear(linearity, tolerance), _adjoint(adjoint, tolerance)]
    said.sort(key=lambda s: s.startswith(("It is linear", "The adjoint fits")))
    if fine:
        said.append(f"Its norm is {norm:.4g}: gradient steps up to {2 / norm**2:.3g} converge." if norm else "It is 0.")
    said.append(f"One application takes {_time(seconds)}, the adjoint {_time(seconds_adjoint)}.")
    said += [decay.sentence] if decay is not None else []
    return OperatorCheck(fine, linearity, adjoint, tolerance, norm, seconds, seconds_adjoint, decay, tuple(said))


def timed(function: Any, x: Any) -> float:
    """Return the least time of a call in seconds, after one that is not counted."""
    least, begun = float("inf"), time.perf_counter()
    _wait(function(x))
    while least == float("inf") or time.perf_counter() - begun < TIMED:
        start = time.perf_counter()
        _wait(function(x))
        least = min(least, time.perf_counter() - start)
    return least


def _wait(made: Any) -> None:
    """Let a GPU finish what it was given."""
    first = made if isinstance(made, torch.Tensor) else next(iter(made))
    if first.device.type == "cuda":
        torch.cuda.synchronize(first.device)


def _gap(gap: float, scale: Any) -> float:
    """Return a gap relative to a size; infinite where something is not finite."""
    size = float(scale)
    relative = gap / size if size else gap
    return relative if math.isfinite(relative) else math.inf


def _decay(A: LinearOperator) -> Decay | None:
    """Return the decay of the singular values, or of the leading ones where there are many."""
    if not (isinstance(A.domain, Space) and isinstance(A.codomain, Space)):
        return None
    try:
        values = values_of(A, min(LEADING, min(A.domain.size, A.codomain.size)))
    except SpecError:
        return None
    found = fitted_decay(values, A.domain.eps)
    return found if within_reach(A) or found.kind != "none" else None


def _linear(gap: float, tolerance: float) -> str:
    if gap <= tolerance:
        return f"It is linear: A(u + 2v) and Au + 2Av differ by {gap:.1g} of their size."
    return f"It is not linear: A(u + 2v) and Au + 2Av differ by {gap:.1g} of their size, rounding is {tolerance:.1g}."


def _adjoint(gap: float, tolerance: float) -> str:
    if gap <= tolerance:
        return f"The adjoint fits: ⟨Au, v⟩ and ⟨u, Aᴴv⟩ differ by {gap:.1g} of their size."
    return (
        f"The adjoint is wrong: ⟨Au, v⟩ and ⟨u, Aᴴv⟩ differ by {gap:.1g} of their size, rounding is {tolerance:.1g}; "
        "gradients made with it do not point downhill."
    )


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"

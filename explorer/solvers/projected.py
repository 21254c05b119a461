"""Tikhonov regularisation of a small projected problem, with the parameter chosen there.

A hybrid method keeps a Krylov space of k dimensions in which ``‖C z − r‖² + λ ‖z‖²`` is all that is left of the large
problem. C is small: its singular value decomposition costs nothing beside a product with A, so λ is chosen anew at
every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, SpecError, rules
from explorer.linalg import Blocks, safe_divide, safe_inverse
from explorer.operators.base import AnySpace, LinearOperator

Choice = Annotated[
    Literal["weighted_gcv", "gcv", "discrepancy", "fixed", "l_curve", "quasi_optimality", "monotone_error"],
    Help("how λ is chosen at every step: on the projected problem, or the given one"),
]
#: choices that need the noise level, and what each is called
INFORMED = {"discrepancy": "the discrepancy principle", "monotone_error": "the monotone error rule"}
#: squares of singular values of the given problem, how many each stands for, and the number of real data
Spectrum = tuple[Tensor, Tensor, int]
#: candidates of λ, in each of two grids
CANDIDATES = 48


class Projected:
    """Chooses λ for one projected problem after the other, and solves it.

    Parameters
    ----------
    choice : str
        ``gcv``: cross-validation of the projected problem. ``weighted_gcv``: the same with the weight that is the mean
        of those that would have made the least singular value optimal (Chung, Nagy & O'Leary 2008).
        ``discrepancy``: the residual is τ times the expected norm of the noise; λ = 0 until it can be. ``fixed``.
        ``l_curve``, ``quasi_optimality``, ``monotone_error``: the rules of these names on the projected problem
        (Calvetti, Golub & Reichel 1999). The corner and the least change are looked for between the squares of its
        singular values. ``evidence``: the most likely data under Gaussian noise and prior of unknown sizes. What the
        data enter is all in the projected problem; the determinant of their covariance is not, and takes `spectrum`.
    regularization : float or Tensor
        λ where it is fixed.
    noise_norm : Tensor, optional
        Expected norm of the noise, per sample.
    tau : float
        Safety factor of the discrepancy principle, and of the monotone error rule.

    Attributes
    ----------
    spectrum : Spectrum, optional
        A quadrature of the spectrum of ``A Aᴴ``, which the method gives before every solution.

    Raises
    ------
    SpecError
        If a choice needs the noise level and the noise is unknown.
    """

    def __init__(
        self,
        choice: str,
        regularization: float | Tensor,
        noise_norm: Tensor | None = None,
        tau: float = 1.02,
    ) -> None:
        if choice in INFORMED and noise_norm is None:
            raise SpecError(f"{INFORMED[choice]} needs the noise level, which is not known here: use 'gcv'")
        self.choice, self.regularization = choice, regularization
        self.noise_norm, self.tau = noise_norm, tau
        self.goal = None if noise_norm is None else tau * noise_norm
        self.weights: tuple[float | Tensor, int] = (0.0, 0)  # their sum and number
        self.spectrum: Spectrum | None = None

    def solve(self, matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``argmin_z ‖C z − r‖² + λ ‖z‖²`` and λ.

        Parameters
        ----------
        matrix : Tensor
            C, shape ``(*batch, rows, k)``.
        right : Tensor
            r, shape ``(*batch, rows)``.

        Returns
        -------
        z : Tensor
            Shape ``(*batch, k)``; not finite where `matrix` or `right` are not.
        regularization : Tensor
            Shape ``(*batch,)``.
        """
        U, s, Vh, fine = _svd(matrix, right)
        data = torch.where(fine, (U.mH @ right[..., None])[..., 0], torch.nan)
        outside2 = ((right - (U @ data[..., None])[..., 0]).abs() ** 2).sum(-1)
        chosen = self._choose(s, data.abs() ** 2, outside2, matrix.shape[-2])
        z = safe_divide(s, s**2 + chosen[..., None]) * data
        return (Vh.mH @ z[..., None])[..., 0], chosen

    def solve_general(self, images: Tensor, jumps: Tensor, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``argmin_z ‖K z − y‖² + λ ‖L z‖²``, λ and ``‖K z − y‖``, by the generalised singular values of K, L.

        Parameters
        ----------
        images, jumps : Tensor
            The columns of K and L, as rows: shapes ``(*batch, k, m)`` and ``(*batch, k, p)``.
        data : Tensor
            y, shape ``(*batch, m)``.
        """
        Q, R = torch.linalg.qr(images.mT)
        both = torch.cat((R, torch.linalg.qr(jumps.mT)[1]), -2)
        right = (Q.mH @ data[..., None])[..., 0]
        outside2 = torch.linalg.vector_norm(data - (Q @ right[..., None])[..., 0], dim=-1) ** 2
        joint, triangle = torch.linalg.qr(both)
        # a direction that is not new adds nothing: QR would make one up
        pivot = triangle.diagonal(dim1=-2, dim2=-1).abs()
        idle = pivot <= 10 * torch.finfo(pivot.dtype).eps * pivot.amax(-1, keepdim=True)
        joint = joint.masked_fill(idle[..., None, :], 0)
        triangle = triangle + torch.diag_embed(idle.to(triangle.dtype))
        U, c, Wh, fine = _svd(joint[..., : R.shape[-2], :], right)
        inside = torch.where(fine, (U.mH @ right[..., None])[..., 0], torch.nan)
        c = c.clamp(max=1)
        # 1 − c² cancels where c is near 1: there the jumps themselves tell
        sine = torch.linalg.vector_norm(joint[..., R.shape[-2] :, :] @ Wh.mH, dim=-2)
        value = safe_divide(c, sine.clamp(min=torch.finfo(c.dtype).eps))
        outside2 = outside2 + torch.linalg.vector_norm(right - (U @ inside[..., None])[..., 0], dim=-1) ** 2
        chosen = self._choose(value, inside.abs() ** 2, outside2, images.shape[-2] + 1)
        weight = chosen[..., None] * sine**2
        z = (Wh.mH @ (safe_divide(c, c**2 + weight) * inside)[..., None])[..., 0]
        z = torch.linalg.solve_triangular(triangle, z[..., None], upper=True)[..., 0]
        lost = safe_divide(weight, c**2 + weight)
        return z, chosen, ((lost**2 * inside.abs() ** 2).sum(-1) + outside2).sqrt()

    def _choose(self, s: Tensor, data2: Tensor, outside2: Tensor, rows: int) -> Tensor:
        if self.choice == "fixed":
            return torch.zeros_like(outside2) + self.regularization
        weight = torch.ones_like(outside2)
        if self.choice == "weighted_gcv":
            total, number = self.weights
            self.weights = total + _weight(s, data2, outside2, rows).clamp(max=1), number + 1
            weight = self.weights[0] / self.weights[1]

        squares = s**2

        def score(values: Tensor) -> Tensor:
            if self.choice not in ("gcv", "weighted_gcv"):
                return self._score(values, s, data2, outside2)
            lost = safe_divide(values[..., None], squares + values[..., None])
            residual2 = (lost**2 * data2).sum(-1) + outside2
            free = rows - weight * (s.shape[-1] - lost.sum(-1))
            return torch.where(free > 0, residual2 / free**2, torch.inf)

        largest, eps = s.amax(-1) ** 2, torch.finfo(s.dtype).eps
        weakest = torch.minimum(largest * eps**2, s.amin(-1) ** 2)
        if self.choice in ("l_curve", "quasi_optimality"):
            weakest = torch.maximum(s.amin(-1), largest.sqrt() * eps) ** 2
        found = _search(score, largest, weakest, first=self.choice in ("discrepancy", "monotone_error"))
        if self.goal is not None and self.choice == "discrepancy":  # not within reach yet: no λ > 0 helps
            found = torch.where(outside2.sqrt() > self.goal, 0, found)
        return found

    def _score(self, values: Tensor, s: Tensor, data2: Tensor, outside2: Tensor) -> Tensor:
        """Return what a rule of the catalogue says of the projected problem with each of the values."""
        total = s**2 + values[..., None]
        kept, lost = safe_divide((s**2).expand_as(total), total), safe_divide(values[..., None].expand_as(total), total)
        size2 = safe_divide(kept, s.expand_as(kept)) ** 2 * data2
        once, thrice, fourth = ((lost**power * data2).sum(-1) + outside2 for power in (2, 3, 4))
        told: dict[str, Any] = {
            "residual": once.sqrt(),
            "solution_norm": size2.sum(-1).sqrt(),
            "growth": -2 * (lost * size2).sum(-1),
            "sensitivity": (lost**2 * size2).sum(-1).sqrt(),
            "regularization": values,
            "iterated": safe_divide(thrice, fourth.sqrt()),
            "noise_norm": self.noise_norm,
        }
        if self.spectrum is not None:
            squares, number, size = self.spectrum
            told["log_lost"] = -(number * torch.log1p(squares / values[..., None])).sum(-1)
            # relative to the data, so that their scale is not rounded
            told["inner"] = safe_divide((lost * data2).sum(-1) + outside2, data2.sum(-1) + outside2)
            told["data_size"] = size
        rule = rules[self.choice]
        knobs = {"tau": self.tau} if "tau" in rule.knobs else {}
        return rule.function(**{need.name: told[need.name] for need in rule.needs if need.name in told}, **knobs)


def _svd(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the factors of a matrix, and where it and `right` are finite; zeros stand in where they are not."""
    fine = (0 * matrix).sum((-2, -1)) + (0 * right).sum(-1) == 0  # 0 · ∞ is not a number
    return *torch.linalg.svd(torch.where(fine[..., None, None], matrix, 0), full_matrices=False), fine[..., None]


def _search(score: Callable[[Tensor], Tensor], strongest: Tensor, weakest: Tensor, first: bool) -> Tensor:
    """Return the value of least score on two nested logarithmic grids, or the largest value with score ≤ 0."""
    tiny = torch.finfo(strongest.dtype).tiny
    high, low = strongest.clamp(min=tiny).log(), weakest.clamp(min=tiny).log()
    fraction = torch.linspace(0, 1, CANDIDATES, dtype=high.dtype, device=high.device)
    fraction = fraction.reshape(-1, *(1,) * high.ndim)
    chosen = high
    for _ in range(2):
        grid = high + fraction * (low - high)
        scores = score(grid.exp())
        if first:
            best = torch.where((scores <= 0).any(0), (scores <= 0).to(torch.int8).argmax(0), CANDIDATES - 1)
            around = torch.stack((best - 1, best, best))
        else:
            best = scores.nan_to_num(nan=torch.inf).argmin(0)
            around = torch.stack((best - 1, best, best + 1))
        high, chosen, low = grid.gather(0, around.clamp(0, CANDIDATES - 1))
    return chosen.exp()


def _weight(s: Tensor, data2: Tensor, outside2: Tensor, rows: int) -> Tensor:
    """Return the weight ω with which cross-validation is stationary at λ = σ², σ the least singular value.

    With ``N(λ) = Σ λ² d² / (s² + λ)² + d₀²`` and ``T(λ) = Σ s² / (s² + λ)``, ``N / (rows − ω T)²`` is stationary where
    ``ω = rows N′ / (N′ T − 2 N T′)``.
    """
    least = s[..., -1:] ** 2
    squares = s**2
    inverse = safe_inverse(squares + least)
    kept, lost = squares * inverse, least * inverse
    steep, missed = kept * inverse, lost * data2
    half = (missed * steep).sum(-1)  # N′ / 2
    misfit = (lost * missed).sum(-1) + outside2
    return safe_divide(rows * half, half * kept.sum(-1) + misfit * steep.sum(-1))


class Basis:
    """Orthonormal vectors in one growing array, so that projections on all of them are two matrix products.

    Parameters
    ----------
    size : int
        Number of entries of a vector.
    like : Tensor
        What gives batch, dtype and device, shape ``(*batch, size)``.
    """

    def __init__(self, like: Tensor, room: int = 32) -> None:
        self.array = like.new_zeros(*like.shape[:-1], room, like.shape[-1])
        self.length = 0

    @property
    def vectors(self) -> Tensor:
        """The vectors so far, shape ``(*batch, length, size)``."""
        return self.array[..., : self.length, :]

    def append(self, vector: Tensor) -> None:
        """Add a vector, shape ``(*batch, size)``."""
        if self.length == self.array.shape[-2]:
            self.array = torch.cat((self.array, torch.zeros_like(self.array)), -2)
        self.array[..., self.length, :] = vector
        self.length += 1

    def extend(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Add what a vector has outside the span, scaled to norm 1; return its coefficients inside and that norm.

        Orthogonalised twice, which is enough (Giraud, Langou & Rozložník 2005).
        """
        V = self.vectors
        inside = (V.conj() @ vector[..., None])[..., 0]
        vector = vector - (inside[..., None, :] @ V)[..., 0, :]
        again = (V.conj() @ vector[..., None])[..., 0]
        vector = vector - (again[..., None, :] @ V)[..., 0, :]
        norm = torch.linalg.vector_norm(vector, dim=-1)
        # what is left of a vector in the span is rounding, no direction
        size = torch.hypot(torch.linalg.vector_norm(inside, dim=-1), norm)
        norm = norm.masked_fill(norm <= 10 * torch.finfo(norm.dtype).eps * size, 0)
        self.append(safe_inverse(norm)[..., None] * vector)
        return inside + again, norm

    def combine(self, coefficients: Tensor) -> Tensor:
        """Return ``Σ z_j v_j`` of the first vectors, shape ``(*batch, size)``."""
        k = coefficients.shape[-1]
        return (coefficients[..., None, :] @ self.array[..., :k, :])[..., 0, :]


class Columns:
    """A Hessenberg or bidiagonal matrix that grows by a column."""

    def __init__(self) -> None:
        self.matrix: Tensor | None = None

    def append(self, column: Tensor) -> Tensor:
        """Return it with one more column, shape ``(*batch, k + 1, k)``; column j has entries down to row j + 1."""
        column = column[..., None]
        if self.matrix is not None:
            column = torch.cat((torch.nn.functional.pad(self.matrix, (0, 0, 0, 1)), column), -1)
        self.matrix = column
        return column


class Flat:
    """Elements of a space as vectors, and back.

    Parameters
    ----------
    space : Space or ProductSpace
    real : bool
        Whether complex entries become pairs of real ones: where scalars are real, as of an operator from real to
        complex, so is the inner product that a Krylov space needs.
    """

    def __init__(self, space: AnySpace, real: bool) -> None:
        self.parts = tuple(getattr(space, "spaces", (space,)))
        self.product = hasattr(space, "spaces")
        self.real = real

    def __call__(self, x: Any) -> Tensor:
        """Return an element as a vector, shape ``(*batch, size)``."""
        flat = [part.flatten(-space.ndim) for space, part in zip(self.parts, x if self.product else (x,), strict=True)]
        flat = [torch.view_as_real(v).flatten(-2) if self.real and v.is_complex() else v for v in flat]
        return flat[0] if len(flat) == 1 else torch.cat(flat, -1)

    def spread(self, values: Tensor) -> Tensor:
        """Return one real value an entry, as a vector of those that multiply the vector of an element."""
        flat = values.flatten(-self.parts[0].ndim)
        return flat.repeat_interleave(2, -1) if self.real and self.parts[0].is_complex else flat

    def back(self, vector: Tensor) -> Any:
        """Return a vector as an element."""
        pairs = [2 if self.real and space.is_complex else 1 for space in self.parts]
        pieces = vector.split([space.size * n for space, n in zip(self.parts, pairs, strict=True)], -1)
        made = []
        for space, n, piece in zip(self.parts, pairs, pieces, strict=True):
            whole = torch.view_as_complex(piece.unflatten(-1, (-1, 2)).contiguous()) if n == 2 else piece
            made.append(whole.unflatten(-1, space.shape))
        return Blocks(made) if self.product else made[0]


def flattened(A: LinearOperator) -> tuple[Flat, Flat]:
    """Return the vectors of the unknown and of the data of an operator."""
    real = not (A.domain.is_complex and A.codomain.is_complex)
    return Flat(A.domain, real), Flat(A.codomain, real)

"""Tikhonov regularisation of a small projected problem, with the parameter chosen there.

A hybrid method keeps a Krylov space of k dimensions in which ``‖C z − r‖² + λ ‖z‖²`` is all that is left of the large
problem. C is small: its singular value decomposition costs nothing beside a product with A, so λ is chosen anew at
every step.
"""

from __future__ import annotations

import functools
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
        U, s, Vh, doubt = _svd(matrix)
        squares, data = s.square(), times(U.mH, right) + doubt
        outside2 = torch.linalg.vector_norm(right - times(U, data), dim=-1).square()
        chosen = self._choose(squares, data.abs().square(), outside2, matrix.shape[-2])
        z = safe_divide(s, squares + chosen.unsqueeze(-1)) * data
        return times(Vh.mH, z), chosen

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
        right = times(Q.mH, data)
        outside2 = torch.linalg.vector_norm(data - times(Q, right), dim=-1).square()
        joint, triangle = torch.linalg.qr(both)
        # a direction that is not new adds nothing: QR would make one up
        pivot = triangle.diagonal(dim1=-2, dim2=-1).abs()
        idle = pivot <= 10 * torch.finfo(pivot.dtype).eps * pivot.amax(-1, keepdim=True)
        joint = joint.masked_fill(idle[..., None, :], 0)
        triangle = triangle + torch.diag_embed(idle.to(triangle.dtype))
        U, c, Wh, doubt = _svd(joint[..., : R.shape[-2], :])
        inside = times(U.mH, right) + doubt
        c = c.clamp(max=1)
        # 1 − c² cancels where c is near 1: there the jumps themselves tell
        sine = torch.linalg.vector_norm(joint[..., R.shape[-2] :, :] @ Wh.mH, dim=-2)
        value = safe_divide(c, sine.clamp(min=torch.finfo(c.dtype).eps))
        outside2 = outside2 + torch.linalg.vector_norm(right - times(U, inside), dim=-1).square()
        chosen = self._choose(value.square(), inside.abs().square(), outside2, images.shape[-2] + 1)
        weight = chosen[..., None] * sine**2
        z = times(Wh.mH, safe_divide(c, c**2 + weight) * inside)
        z = torch.linalg.solve_triangular(triangle, z[..., None], upper=True)[..., 0]
        lost = safe_divide(weight, c**2 + weight)
        return z, chosen, ((lost**2 * inside.abs() ** 2).sum(-1) + outside2).sqrt()

    def _choose(self, squares: Tensor, data2: Tensor, outside2: Tensor, rows: int) -> Tensor:
        """Return λ from the squares of the singular values and of the data on their vectors and outside of them."""
        if self.choice == "fixed":
            return torch.zeros_like(outside2) + self.regularization
        if self.choice == "weighted_gcv":
            total, number = self.weights
            self.weights = total + _weight(squares, data2, outside2, rows).clamp(max=1), number + 1
            weight = self.weights[0] / self.weights[1]
        else:
            weight = torch.ones_like(outside2)
        bound = rows - squares.shape[-1] * weight

        def score(values: Tensor) -> Tensor:
            if self.choice not in ("gcv", "weighted_gcv"):
                return self._score(values, squares, data2, outside2)
            values = values.unsqueeze(-1)  # positive, so that nothing is divided by zero
            lost = values / (squares + values)
            free = torch.addcmul(bound, weight, lost.sum(-1))  # at least rows − k, as no weight is more than 1
            return ((lost.square_() * data2).sum(-1) + outside2) / free.square_()

        largest, least, eps = squares.amax(-1), squares.amin(-1), torch.finfo(squares.dtype).eps
        weakest = torch.minimum(largest * eps**2, least)
        if self.choice in ("l_curve", "quasi_optimality"):
            weakest = torch.maximum(largest * eps**2, least)
        found = _search(score, largest, weakest, first=self.choice in ("discrepancy", "monotone_error"))
        if self.goal is not None and self.choice == "discrepancy":  # not within reach yet: no λ > 0 helps
            found = torch.where(outside2.sqrt() > self.goal, 0, found)
        return found

    def _score(self, values: Tensor, squares: Tensor, data2: Tensor, outside2: Tensor) -> Tensor:
        """Return what a rule of the catalogue says of the projected problem with each of the values."""
        values = values.unsqueeze(-1)
        total = squares + values
        kept, lost = safe_divide(squares.expand_as(total), total), safe_divide(values.expand_as(total), total)
        size2 = safe_divide(kept, squares.sqrt().expand_as(kept)) ** 2 * data2
        once, thrice, fourth = ((lost**power * data2).sum(-1) + outside2 for power in (2, 3, 4))
        told: dict[str, Any] = {
            "residual": once.sqrt(),
            "solution_norm": size2.sum(-1).sqrt(),
            "growth": -2 * (lost * size2).sum(-1),
            "sensitivity": (lost**2 * size2).sum(-1).sqrt(),
            "regularization": values.squeeze(-1),
            "iterated": safe_divide(thrice, fourth.sqrt()),
            "noise_norm": self.noise_norm,
        }
        if self.spectrum is not None:
            squares, number, size = self.spectrum
            told["log_lost"] = -(number * torch.log1p(squares / values)).sum(-1)
            # relative to the data, so that their scale is not rounded
            told["inner"] = safe_divide((lost * data2).sum(-1) + outside2, data2.sum(-1) + outside2)
            told["data_size"] = size
        rule = rules[self.choice]
        knobs = {"tau": self.tau} if "tau" in rule.knobs else {}
        return rule.function(**{need.name: told[need.name] for need in rule.needs if need.name in told}, **knobs)


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the factors of a matrix, and 0 where it is finite; else those of zero, and not a number."""
    doubt = (matrix - matrix).sum((-2, -1))
    known = matrix.masked_fill(doubt.isnan()[..., None, None], 0)
    return *torch.linalg.svd(known, full_matrices=False), doubt.unsqueeze(-1)


@functools.cache
def _grid(dtype: torch.dtype, device: torch.device, ndim: int, first: bool) -> tuple[Tensor, Tensor]:
    """Return the fractions of a grid, and which entries are about the one that is found."""
    fraction = torch.linspace(0, 1, CANDIDATES, dtype=dtype, device=device)
    around = torch.tensor([-1, 0, 0 if first else 1], device=device)
    return fraction.reshape(-1, *(1,) * ndim), around.reshape(-1, *(1,) * ndim)


def _search(score: Callable[[Tensor], Tensor], strongest: Tensor, weakest: Tensor, first: bool) -> Tensor:
    """Return the value of least score on two nested logarithmic grids, or the largest value with score ≤ 0."""
    tiny = torch.finfo(strongest.dtype).tiny
    high, low = strongest.clamp(min=tiny).log(), weakest.clamp(min=tiny).log()
    fraction, around = _grid(high.dtype, high.device, high.ndim, first)
    chosen = high
    for _ in range(2):
        grid = torch.addcmul(high, fraction, low - high)
        scores = score(grid.exp())
        if first:
            best = torch.where((scores <= 0).any(0), (scores <= 0).to(torch.int8).argmax(0), CANDIDATES - 1)
        else:
            best = scores.nan_to_num(nan=torch.inf).argmin(0)
        high, chosen, low = grid.gather(0, (best + around).clamp_(0, CANDIDATES - 1)).unbind()
    return chosen.exp()


def _weight(squares: Tensor, data2: Tensor, outside2: Tensor, rows: int) -> Tensor:
    """Return the weight ω with which cross-validation is stationary at λ = σ², σ the least singular value.

    With ``N(λ) = Σ λ² d² / (s² + λ)² + d₀²`` and ``T(λ) = Σ s² / (s² + λ)``, ``N / (rows − ω T)²`` is stationary where
    ``ω = rows N′ / (N′ T − 2 N T′)``.
    """
    least = squares.narrow(-1, -1, 1)
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
        self.array = like.new_empty(*like.shape[:-1], room, like.shape[-1])
        self.length = 0

    @property
    def vectors(self) -> Tensor:
        """The vectors so far, shape ``(*batch, length, size)``."""
        return self.array.narrow(-2, 0, self.length)

    @property
    def last(self) -> Tensor:
        """The newest vector, shape ``(*batch, size)``."""
        return self.array.select(-2, self.length - 1)

    def append(self, vector: Tensor) -> None:
        """Add a vector, shape ``(*batch, size)``."""
        if self.length == self.array.shape[-2]:
            self.array = torch.cat((self.array, torch.empty_like(self.array)), -2)
        self.array.select(-2, self.length).copy_(vector)
        self.length += 1

    def extend(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Add what a vector has outside the span, scaled to norm 1; return its coefficients inside and that norm.

        Orthogonalised twice, which is enough (Giraud, Langou & Rozložník 2005).
        """
        V, size = self.vectors, torch.linalg.vector_norm(vector, dim=-1)
        inside = times(V.conj(), vector)
        vector = _plus(vector, inside, V, -1)
        again = times(V.conj(), vector)
        vector = _plus(vector, again, V, -1)
        norm = torch.linalg.vector_norm(vector, dim=-1)
        # what is left of a vector in the span is rounding, no direction
        nothing = norm <= size.mul_(10 * torch.finfo(norm.dtype).eps)
        self.append(vector.mul_(norm.reciprocal().masked_fill_(nothing, 0).unsqueeze(-1)))
        norm.masked_fill_(nothing, 0)
        return inside.add_(again), norm

    def combine(self, coefficients: Tensor, start: Tensor | None = None) -> Tensor:
        """Return ``Σ z_j v_j`` of the first vectors, and `start` beside it, shape ``(*batch, size)``."""
        V = self.array.narrow(-2, 0, coefficients.shape[-1])
        return times(V.mT, coefficients) if start is None else _plus(start, coefficients, V)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return ``M v`` per sample; without a batch as one vector, which takes half the time."""
    return torch.mv(matrix, vector) if vector.ndim == 1 else (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _plus(vector: Tensor, coefficients: Tensor, V: Tensor, sign: int = 1) -> Tensor:
    """Return ``w ± Σ c_j v_j``."""
    if vector.ndim == 1:
        return torch.addmv(vector, V.T, coefficients, alpha=sign)
    return torch.add(vector, times(V.mT, coefficients), alpha=sign)


class Columns:
    """A Hessenberg or bidiagonal matrix that grows by a column."""

    def __init__(self, room: int = 32) -> None:
        self.room, self.count = room, 0

    def append(self, column: Tensor) -> Tensor:
        """Return it with one more column, shape ``(*batch, k + 1, k)``; column j has entries down to row j + 1.

        Parameters
        ----------
        column : Tensor
            Its last entries, shape ``(*batch, n)``; zeros are above them.
        """
        if self.count == 0:
            self.matrix = column.new_zeros(*column.shape[:-1], self.room + 1, self.room)
        elif self.count == self.matrix.shape[-1]:
            self.matrix = torch.nn.functional.pad(self.matrix, (0, self.count, 0, self.count))
        self.count += 1
        length = column.shape[-1]
        self.matrix.select(-1, self.count - 1).narrow(-1, self.count + 1 - length, length).copy_(column)
        return self.matrix.narrow(-2, 0, self.count + 1).narrow(-1, 0, self.count)


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
        self.sizes = [space.size * (2 if real and space.is_complex else 1) for space in self.parts]

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
        pieces = vector.split(self.sizes, -1) if len(self.sizes) > 1 else (vector,)
        made = []
        for space, size, piece in zip(self.parts, self.sizes, pieces, strict=True):
            whole = piece if size == space.size else torch.view_as_complex(piece.unflatten(-1, (-1, 2)).contiguous())
            made.append(whole.view(*whole.shape[:-1], *space.shape))
        return Blocks(made) if self.product else made[0]


def flattened(A: LinearOperator) -> tuple[Flat, Flat]:
    """Return the vectors of the unknown and of the data of an operator."""
    real = not (A.domain.is_complex and A.codomain.is_complex)
    return Flat(A.domain, real), Flat(A.codomain, real)

"""The finite-difference gradient.

Chambolle 2004: An algorithm for total variation minimization and applications.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from explorer.catalogue import Help, operator
from explorer.linalg import Space
from explorer.linalg.spaces import real_dtype
from explorer.operators.base import SVD, LinearOperator
from explorer.operators.transforms import Cosine, Fourier, Hartley


class Gradient(LinearOperator):
    """``(A x)_d = x_{· + e_d} − x``: forward differences in every dimension, stacked in front.

    Its norm is at most ``2 √d``. The Gram operator is minus the Laplacian, diagonal in the cosine transform for
    Neumann boundaries, and in the Hartley (complex: Fourier) transform for periodic ones.
    """

    title = "Gradient"

    def __init__(self, domain: Space, *, periodic: bool = False) -> None:
        super().__init__(domain, Space((domain.ndim, *domain.shape), domain.dtype, domain.device))
        self.periodic = periodic

    def _forward(self, x: Tensor) -> Tensor:
        y = x.new_zeros((*self.domain.batch(x), *self.codomain.shape))
        for part, axis, n in self._parts(y):
            torch.sub(x.narrow(axis, 1, n - 1), x.narrow(axis, 0, n - 1), out=part.narrow(axis, 0, n - 1))
            if self.periodic:
                torch.sub(x.narrow(axis, 0, 1), x.narrow(axis, n - 1, 1), out=part.narrow(axis, n - 1, 1))
        return y

    def _adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros((*self.codomain.batch(y), *self.domain.shape))
        for part, axis, n in self._parts(y):
            x.narrow(axis, 0, n - 1).sub_(part.narrow(axis, 0, n - 1))
            x.narrow(axis, 1, n - 1).add_(part.narrow(axis, 0, n - 1))
            if self.periodic:
                x.narrow(axis, n - 1, 1).sub_(part.narrow(axis, n - 1, 1))
                x.narrow(axis, 0, 1).add_(part.narrow(axis, n - 1, 1))
        return x

    def _parts(self, y: Tensor) -> list[tuple[Tensor, int, int]]:
        """Return each component with its dimension, counted from the end, and its length."""
        d = self.domain.ndim
        return [(y.select(-d - 1, i), i - d, self.domain.shape[i]) for i in range(d)]

    has_gram_svd = True

    def gram_svd(self) -> SVD:
        """Return the decomposition of minus the Laplacian, values ``Σ_d 4 sin²(π k_d / 2n_d)``; periodic ones n_d."""
        basis: LinearOperator
        if not self.periodic:
            basis = Cosine(self.domain).H
        elif self.domain.is_complex:
            basis = Fourier(self.domain).H
        else:
            basis = Hartley(self.domain)
        return SVD(basis, self._eigenvalues(), basis)

    def _eigenvalues(self) -> Tensor:
        values = torch.zeros((), dtype=torch.float64, device=self.domain.device)
        for n in self.domain.shape:
            k = torch.arange(n, dtype=torch.float64, device=self.domain.device)
            values = values.unsqueeze(-1) + 4 * torch.sin(math.pi * k / n / (1 if self.periodic else 2)) ** 2
        return values.to(real_dtype(self.domain.dtype))

    def norm(self, steps: int = 30, seed: int = 0) -> Tensor:
        """Return the largest singular value, exactly."""
        return self._eigenvalues().max().sqrt()

    def gram_diagonal(self) -> Tensor:
        """Return how many differences each entry takes part in."""
        count = torch.zeros((), device=self.domain.device)
        for n in self.domain.shape:
            ends = torch.full((n,), 2.0 if n > 1 else 0.0, device=self.domain.device)
            if not self.periodic and n > 1:
                ends[0] = ends[-1] = 1
            count = count.unsqueeze(-1) + ends
        return count.to(real_dtype(self.domain.dtype))

    def picture(self, y: Tensor) -> Tensor:
        """Return the length of the gradient in each point."""
        return torch.linalg.vector_norm(y, dim=-self.domain.ndim - 1)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """The component, then the point."""
        return (("component", ""), *LinearOperator(self.domain).data_axes)


class CumulativeSum(LinearOperator):
    """``(A s)_i = s_1 + … + s_i``: a signal from its jumps, the first of them from zero.

    Parameters
    ----------
    domain : Space
        Of one dimension.
    """

    title = "Cumulative sum"
    nonnegative = True

    def __init__(self, domain: Space) -> None:
        super().__init__(domain, domain)

    def _forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.flip(-1).cumsum(-1).flip(-1)


class SymmetricGradient(LinearOperator):
    """``(E w)_{ij} = ½ (∂_i w_j + ∂_j w_i)`` of a field w, an image of :class:`Gradient`, by backward differences.

    Only components that are differences within the image count: w_j has one entry fewer along j, and none of them is
    compared with what lies outside. Fields without variation, the gradients of affine images, are therefore in the
    kernel. The norm is at most ``2 √d``.
    """

    title = "the symmetric gradient"

    def __init__(self, domain: Space) -> None:
        d = domain.ndim - 1
        super().__init__(domain, Space((d, *domain.shape), domain.dtype, domain.device))

    def _forward(self, w: Tensor) -> Tensor:
        y = w.new_zeros((*self.domain.batch(w), *self.codomain.shape))
        for part, entry, axis, n in self._pairs(w, y):
            entry.narrow(axis, 1, n - 1).add_(part.narrow(axis, 1, n - 1) - part.narrow(axis, 0, n - 1))
        return self._symmetric(y)

    def _adjoint(self, y: Tensor) -> Tensor:
        y = self._symmetric(y)
        w = y.new_zeros((*self.codomain.batch(y), *self.domain.shape))
        for part, entry, axis, n in self._pairs(w, y):
            part.narrow(axis, 1, n - 1).add_(entry.narrow(axis, 1, n - 1))
            part.narrow(axis, 0, n - 1).sub_(entry.narrow(axis, 1, n - 1))
        return w

    def _pairs(self, w: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor, int, int]]:
        """Return w_j and y_ij where both are within, with the dimension i from the end, and the length along it."""
        d, made = self.domain.shape[0], []
        for j in range(d):
            inside = self.domain.shape[1 + j] - 1
            part = w.select(-d - 1, j).narrow(j - d, 0, inside)
            for i in range(d):
                entry = y.select(-d - 2, i).select(-d - 1, j).narrow(j - d, 0, inside)
                made.append((part, entry, i - d, self.domain.shape[1 + i] - (i == j)))
        return [pair for pair in made if pair[3] > 0]

    def _symmetric(self, y: Tensor) -> Tensor:
        d = self.domain.shape[0]
        return (y + y.transpose(-d - 2, -d - 1)) / 2


@operator(
    "Gradient",
    papers=["Chambolle 2004: An algorithm for total variation minimization and applications"],
    equation=r"(Ax)_{d,i} = x_{i+e_d} - x_i",
    works="Heights from measured slopes: adding the slopes up damps noise of fine scale.",
    fails="The mean is lost, and slow waves of the noise grow to broad tilts and bumps.",
)
def gradient(
    domain: Space,
    *,
    boundary: Annotated[
        Literal["neumann", "periodic"], Help("at the border the difference is zero, or goes round to the other side")
    ] = "neumann",
) -> Gradient:
    """Forward differences in every dimension; recovering a signal from them is integration."""
    return Gradient(domain, periodic=boundary == "periodic")

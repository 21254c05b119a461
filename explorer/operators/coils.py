"""Receiver coils: every one sees the object through its own sensitivity.

Roemer, Edelstein, Hayes, Souza & Mueller 1990: The NMR phased array. Pruessmann, Weiger, Scheidegger & Boesiger 1999:
SENSE: sensitivity encoding for fast MRI.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from explorer.catalogue import Linear
from explorer.linalg import Space
from explorer.linalg.spaces import complex_dtype, real_dtype
from explorer.operators.algebra import Composition
from explorer.operators.base import LinearOperator
from explorer.operators.drawing import Drawing, drawings
from explorer.operators.slices import SliceWise

SENSE = "Pruessmann, Weiger, Scheidegger & Boesiger 1999: SENSE: sensitivity encoding for fast MRI"
Count = Annotated[int, Linear(1, 64, help="number of receiver coils")]
# a corner of the image is at √2, and no coil may lie in the image
Distance = Annotated[float, Linear(1.45, 10, unit="half widths", help="distance of the coils from the middle")]


def birdcage(shape: tuple[int, int], coils: int, distance: float, device: torch.device | str = "cpu") -> Tensor:
    r"""Return sensitivities of coils on a circle around the image, shape ``(coils, rows, columns)``, complex128.

    The field of a long straight wire at ``w`` is ``B_x + i B_y ∝ i / (z − w)^*`` at the point z = x + iy. The rungs of
    a birdcage are such wires with their phases one turn around; the sensitivities are divided by the root of the sum
    of their squared moduli, as a combination of the coils' images does: ``Σ_c |s_c|² = 1``.

    Parameters
    ----------
    distance : float
        Of the wires from the middle; the image covers [−1, 1]².
    """
    y, x = (torch.arange(n, dtype=torch.float64, device=device) * (2 / n) + (1 / n - 1) for n in shape)
    angle = torch.arange(coils, dtype=torch.float64, device=device)[:, None, None] * (2 * math.pi / coils)
    across, up = x - distance * angle.cos(), -y[:, None] - distance * angle.sin()
    field = torch.polar(1 / torch.hypot(across, up), torch.atan2(up, across) + math.pi / 2 - angle)
    return field / torch.linalg.vector_norm(field, dim=0)


class Coils(LinearOperator):
    """``x ↦ (s_1 x, …, s_k x)``: the image as every coil sees it.

    Parameters
    ----------
    domain : Space
        An image, real or complex.
    maps : Tensor
        Sensitivities with ``Σ_c |s_c|² = 1``, shape ``(coils, rows, columns)``, complex.
    """

    title = "Receiver coils"
    isometry = True

    def __init__(self, domain: Space, maps: Tensor) -> None:
        super().__init__(domain, Space(tuple(maps.shape), complex_dtype(domain.dtype), domain.device))
        self.maps = maps.to(self.codomain.dtype)

    def _forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-3) * self.maps

    def _adjoint(self, y: Tensor) -> Tensor:
        x = (self.maps.conj() * y).sum(-3)
        return x if self.domain.is_complex else x.real

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Coils and the image's axes."""
        return (("coil", ""), ("row", "px"), ("column", "px"))


class Parallel(Composition):
    """``(E s_1 x, …, E s_k x)``: k-space of every coil at once.

    Parameters
    ----------
    encoding : LinearOperator
        E, from a complex image to its measured frequencies; every entry of its matrix has modulus ``1/√n``.
    coils : Coils
    """

    def __init__(self, encoding: LinearOperator, coils: Coils, title: str) -> None:
        super().__init__(SliceWise(encoding, len(coils.maps)), coils)
        self.encoding, self.coils, self.title = encoding, coils, title

    def gram_diagonal(self) -> Tensor:
        """Return the number of frequencies that are measured for each pixel."""
        fraction, space = self.encoding.codomain.size / self.domain.size, self.domain
        return torch.full(space.shape, fraction, dtype=real_dtype(space.dtype), device=space.device)

    def drawings(self, datum: int) -> tuple[Drawing, ...]:
        """Return the encoding's drawings and how sensitive the coil of the datum is."""
        coil, within = divmod(datum, self.encoding.codomain.size)
        count = len(self.coils.maps)
        said = f"How well coil {coil} of {count} sees every pixel: the modulus of its sensitivity."
        seen = Drawing(f"Coil {coil} of {count}", said, self.coils.maps[coil].abs().cpu())
        return *drawings(self.encoding, within), seen

    def picture(self, y: Tensor) -> Tensor:
        """Return the back-projection: zeros where nothing is measured, and the coils combined."""
        return self._adjoint(y)

    @property
    def data_axes(self) -> tuple[tuple[str, str], ...]:
        """Coils and the encoding's axes."""
        return (("coil", ""), *self.encoding.data_axes)

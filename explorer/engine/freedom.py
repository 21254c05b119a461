"""Effective degrees of freedom of any iteration, by running it twice.

Ye 1998: On measuring and correcting the effects of data mining and model selection.
Girard 1989: A fast Monte-Carlo cross-validation procedure for large least squares problems with noisy data.
Ramani, Blu & Unser 2008: Monte-Carlo SURE: a black-box optimization of regularization parameters for general denoising
algorithms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from explorer.catalogue import Component
from explorer.linalg import Rng, Space, axpy, safe_divide
from explorer.solvers.steps import Step


def probed(component: Component, offers: Mapping[str, Any], params: Mapping[str, Any], probe: Any) -> Iterator[Step]:
    """Run an iteration beside itself on slightly other data, and tell its degrees of freedom with every step.

    They are the divergence of the map from data to fitted data, ``E⟨w, A x_k(y + h w) − A x_k(y)⟩ / h`` with random
    signs w. Where x_k is linear in the data that is the trace of the influence matrix, whatever h. It doubles the cost.
    A method that jumps, such as one that picks columns, has no divergence where it does.

    Parameters
    ----------
    component, offers, params : Component, mapping, mapping
        An iterative solver with what it is bound to; ``A`` and ``y`` are among the offers.
    probe : Tensor or Blocks
        Random signs w in the codomain, shape ``(*batch, *codomain.shape)``; real and imaginary where complex.
    """
    A, y = offers["A"], offers["y"]
    X, Y = A.domain, A.codomain
    h, moved = nudged(Y, y, probe)
    back = A.adjoint(probe)
    rng = offers["rng"]
    again = Rng(rng.seed, rng.component, rng.draws)  # the same choices at random in both
    own = component.bind(offers, params)()
    other = component.bind({**offers, "y": moved, "rng": again}, params)()
    for step, beside in zip(own, other, strict=False):
        step.scalars["dof"] = safe_divide(X.inner(back, beside.x - step.x).real, h)
        yield step


def nudged(Y: Space, y: Any, probe: Any) -> tuple[Any, Any]:
    """Return a length h, and data moved by it along a probe: a cube root of eps balances rounding and curvature."""
    h = Y.eps ** (1 / 3) * safe_divide(Y.norm(y), Y.norm(probe))
    return h, axpy(h, probe, y)

"""Which of the methods for a prior behind an operator K, such as total variation, is the quickest for an operator A.

They were compared by the seconds of one core to within 1e-3 of the least objective of total variation, on the presets
and on 256² pixels (``tests/benchmarks/aims.py``); the structure of A tells the problems apart. Accelerated steps need a
seventh of the time of plain ones for a noisy image, and two thirds of it where data are missing; ADMM half of it for a
strong blur of 256² pixels, and as long for a weak one. Where AᴴA has no fast decomposition plain steps win.
"""

from __future__ import annotations

from explorer.catalogue import SpecError
from explorer.engine.build import build
from explorer.engine.spec import RunSpec
from explorer.operators.base import Identity, LinearOperator

_WHY = {
    "accelerated_pdhg": "The misfit has an exact proximal map: accelerated steps, the quickest of ours.",
    "admm": "AᴴA is diagonal in a fast transform: few steps, each a small linear system, the quickest of ours.",
    "pdhg": "The prior splits as g(K x): neither A nor K has to be inverted.",
}
_ELSE = {"admm": "Few, costly steps: each solves a linear system; good where an application is cheap."}


def quickest(A: LinearOperator) -> list[tuple[str, str]]:
    """Return methods for a prior that splits as ``g(K x)``, with reasons, the quickest first.

    Parameters
    ----------
    A : LinearOperator
        Of which only the structure is asked, so that it may be on the device ``meta``.

    Examples
    --------
    >>> from explorer.linalg import Space
    >>> quickest(Identity(Space((8, 8))))[0][0]
    'accelerated_pdhg'
    """
    best = "pdhg"
    if A.has_gram_svd:
        best = "accelerated_pdhg" if A.isometry or A.codomain.size < A.domain.size else "admm"
    others = [(name, _ELSE.get(name, _WHY[name])) for name in ("pdhg", "admm") if name != best]
    return [(best, _WHY[best]), *others]


def first_choice(spec: RunSpec) -> str | None:
    """Return the quickest method for the prior of a specification where it splits, and None where it does not.

    A prior with a proximal map of its own, in closed form, needs no splitting.
    """
    try:
        problem = build(spec.replace(device="meta", draws=None))
    except SpecError:
        return None
    prior = problem.prior
    splits = prior is not None and prior.splits and not isinstance(prior.operator, Identity)
    return quickest(problem.A)[0][0] if splits and problem.A is not None else None

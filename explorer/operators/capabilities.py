"""What solvers and operators may ask of an operator or a space; declared by structure, never measured."""

from __future__ import annotations

from typing import Any

from explorer.catalogue import Capability
from explorer.linalg import Space

LINEAR_SQUARE = Capability("an operator from a space to itself", lambda A: A.domain == A.codomain)
ONE_UNKNOWN = Capability("an operator on a single space, not a product", lambda A: isinstance(A.domain, Space))
SELF_ADJOINT = Capability("a self-adjoint operator", lambda A: A.self_adjoint)
POSITIVE = Capability("a positive self-adjoint operator", lambda A: A.self_adjoint and A.positive)
PRECONDITIONER = Capability("a positive self-adjoint preconditioner", POSITIVE.admits)
NONNEGATIVE = Capability("an operator without negative entries", lambda A: A.nonnegative)
HAS_SVD = Capability("an operator with a cheap singular value decomposition", lambda A: A.has_svd)
HAS_GRAM_DIAGONAL = Capability("an operator whose Gram diagonal is cheap", lambda A: A.gram_diagonal() is not None)
SIGNAL = Capability("a one-dimensional signal", lambda space: isinstance(space, Space) and space.ndim == 1)
IMAGE = Capability("an image", lambda space: isinstance(space, Space) and space.ndim == 2)
SQUARE_IMAGE = Capability("a square image", lambda space: IMAGE.admits(space) and space.shape[0] == space.shape[1])
SINGLE = Capability("a single space, not a product", lambda space: isinstance(space, Space))
REAL = Capability("a real space", lambda space: not space.is_complex)
REAL_ONLY = Capability(
    "an operator whose unknown and data are real", lambda A: not (A.domain.is_complex or A.codomain.is_complex)
)
SAME_KIND = Capability(
    "an operator whose unknown and data are both real or both complex",
    lambda A: A.domain.is_complex == A.codomain.is_complex,
)

#: most unknowns, and most rows, of a dense generalised decomposition
MAX_UNKNOWNS, MAX_ROWS = 1024, 16384


def _small(A: Any) -> bool:
    X, Y = A.domain, A.codomain
    real = isinstance(X, Space) and isinstance(Y, Space) and not (X.is_complex or Y.is_complex)
    return real and X.size <= MAX_UNKNOWNS and Y.size <= MAX_ROWS


SMALL = Capability(
    f"a small operator between two real spaces, of at most {MAX_UNKNOWNS} unknowns and {MAX_ROWS} data", _small
)

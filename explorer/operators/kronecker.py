"""Kronecker products and sums of operators along the two sides of a square image.

Van Loan 2000: The ubiquitous Kronecker product.
"""

from __future__ import annotations

from typing import Annotated, Any

from explorer.catalogue import Part, SpecError, describe, operator
from explorer.linalg import Rng, Space
from explorer.operators.algebra import Kronecker, Sum
from explorer.operators.base import Identity, LinearOperator
from explorer.operators.capabilities import SQUARE_IMAGE
from explorer.operators.slices import one_slice

PAPERS = ["Van Loan 2000: The ubiquitous Kronecker product"]
Square = Annotated[Space, SQUARE_IMAGE]


@operator(
    "Kronecker product",
    name="kronecker_product",
    papers=PAPERS,
    equation=r"A = B \otimes C:\quad X \mapsto B X C^T",
    domain_within=one_slice,
    works="Blurs and surveys that act on rows and columns separately: small matrices tell the singular values.",
    fails="Condition numbers multiply: two mild factors make a harder problem, two severe ones leave only the coarse.",
)
def kronecker_product(
    domain: Square,
    rng: Rng,  # noqa: ARG001 - what the operators within draw from
    *,
    down: Annotated[Any, Part("operator", help="B, of signals: what is done to every column")] = "gravity",
    across: Annotated[Any, Part("operator", help="C, of signals: what is done to every row")] = "gravity",
) -> Kronecker:
    """One operator on the columns of an image and another on its rows: a two-dimensional problem from two of one.

    Its singular values are the products of theirs.

    Raises
    ------
    SpecError
        If an operator within is not linear, or its data are not one signal.
    """
    made = Kronecker(domain, [_signals(down, "down"), _signals(across, "across")])
    made.title = "Kronecker product"
    return made


@operator(
    "Kronecker sum",
    name="kronecker_sum",
    papers=PAPERS,
    equation=r"A = B \otimes I + I \otimes C:\quad X \mapsto B X + X C^T",
    domain_within=one_slice,
    works="Sylvester's equation, and diffusion that differs along rows and columns.",
    fails="Nearly singular where an eigenvalue of one operator is almost minus one of the other.",
)
def kronecker_sum(
    domain: Square,
    rng: Rng,  # noqa: ARG001 - what the operators within draw from
    *,
    down: Annotated[Any, Part("operator", help="B, of signals: what is done to every column")] = "poisson_equation",
    across: Annotated[Any, Part("operator", help="C, of signals: what is done to every row")] = "poisson_equation",
) -> Sum:
    """The sum of an operator on the columns and one on the rows: finding X is Sylvester's equation.

    Its eigenvalues are the sums of theirs. With Poisson's equation on the interval it is that on the square.

    Raises
    ------
    SpecError
        If an operator within is not linear, or does not go from signals to signals of the same length.
    """
    B, C = _signals(down, "down"), _signals(across, "across")
    for name, op in (("down", B), ("across", C)):
        if op.domain != op.codomain:
            raise SpecError(f"is {op.title} from {op.domain} to {op.codomain}, and has to stay in one space", name)
    side = B.domain
    made = Sum(Kronecker(domain, [B, Identity(side)]), Kronecker(domain, [Identity(side), C]))
    made.title = "Kronecker sum"
    return made


def _signals(operator: Any, name: str) -> LinearOperator:
    """Return a part if it acts on signals, or say that it does not."""
    if not isinstance(operator, LinearOperator) or not isinstance(operator.codomain, Space):
        raise SpecError(
            f"has to be a linear operator with a single set of data, and {describe(operator)} is none", name
        )
    return operator

"""The shared core routines: spaces and blocks, safe arithmetic, the ledger of costs, random streams."""

from explorer.linalg.arithmetic import (
    axpy,
    axpy_,
    clone,
    copy_,
    expand,
    lengths,
    matmul,
    safe_divide,
    safe_inverse,
    scale,
    scale_,
    where,
    xpay_,
)
from explorer.linalg.ledger import Cancelled, Ledger, count
from explorer.linalg.rng import Rng
from explorer.linalg.spaces import Blocks, ProductSpace, Space, convert

__all__ = [
    "Blocks",
    "Cancelled",
    "Ledger",
    "ProductSpace",
    "Rng",
    "Space",
    "axpy",
    "axpy_",
    "clone",
    "convert",
    "copy_",
    "count",
    "expand",
    "lengths",
    "matmul",
    "safe_divide",
    "safe_inverse",
    "scale",
    "scale_",
    "where",
    "xpay_",
]

"""Operations on the device ``meta`` without torch's compiler."""

from __future__ import annotations

import functools
import gc
from types import FunctionType

import torch


@functools.cache
def without_compiler() -> None:
    """Let shapes be worked out without loading torch's compiler: 800 modules, seconds and 75 MB for one product.

    Where nothing is there to compute, torch works out shapes in Python, by functions that are kept from the compiler;
    for that the first call of each loads it. A function that knows how it is kept from it, the attribute that the
    wrapper looks for, does not ask. Where torch has changed this, the compiler is loaded as before.
    """
    code = torch._disable_dynamo(lambda: None).__code__
    if "fn" not in code.co_freevars:
        return
    for wrapper in gc.get_referrers(code):
        if isinstance(wrapper, FunctionType) and wrapper.__closure__:
            kept = wrapper.__closure__[code.co_freevars.index("fn")].cell_contents
            vars(kept).setdefault("__dynamo_disable", kept)

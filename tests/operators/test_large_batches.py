"""Large batches are taken a few samples at a time."""

import pytest
import torch

import explorer as ex
from explorer.linalg import Space
from explorer.operators.application import SLICE
from explorer.operators.transforms import Cosine, Hartley

SIDE = 160
PIXELS = Space((SIDE, SIDE))


@pytest.mark.parametrize(
    "A",
    [Hartley(PIXELS), Cosine(PIXELS), ex.operators.gaussian_blur(PIXELS), ex.operators.gaussian_blur(Space((9, 8)))],
    ids=["hartley", "cosine", "blur", "small"],
)
@pytest.mark.parametrize("batch", [(11,), (2, 5), ()])
def test_slices_are_the_samples_one_by_one(A, batch):
    x = torch.randn(*batch, *A.domain.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for apply in (A.forward, A.adjoint):
            y = apply(x)
            alone = [apply(v) for v in x.reshape(-1, *A.domain.shape)]
            assert y.shape == x.shape
            assert all(torch.equal(a, b) for a, b in zip(y.reshape(-1, *A.domain.shape), alone, strict=True))


def test_no_application_takes_more_than_a_slice(monkeypatch):
    A, sizes = Hartley(PIXELS), []
    whole = Hartley._forward
    monkeypatch.setattr(Hartley, "_forward", lambda self, x: (sizes.append(x.nbytes), whole(self, x))[1])
    with torch.no_grad():
        A(torch.ones(20, SIDE, SIDE))
    assert len(sizes) == 4
    assert max(sizes) <= SLICE

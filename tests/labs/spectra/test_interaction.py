"""Row 286: a basis of a layer from what varies and what matters, whatever the layer's coordinates."""

import pytest
import torch

from explorer.catalogue import SpecError, analyses
from explorer.labs.spectra.interaction import interaction_basis, modules
from explorer.linalg import Space
from explorer.operators.base import DenseMatrix
from tests import support


def layer(seed, h=30, latent=8, outputs=20):
    activations = support.normal((500, latent), seed) @ support.normal((latent, h), 10 + seed)
    return activations, support.normal((h, outputs), 20 + seed)


@support.every_seed
def test_row_286_the_dimension_is_that_of_the_latent_directions(seed):
    found = interaction_basis(*layer(seed))
    assert len(found.values) == found.activation_rank == 8
    assert found.jacobian_rank == 20


@support.every_seed
def test_row_286_invertible_maps_of_the_layer_change_nothing(seed):
    activations, jacobian = layer(seed)
    R = support.normal((30, 30), 30 + seed)
    before = interaction_basis(activations, jacobian)
    after = interaction_basis(activations @ R, torch.linalg.solve(R, jacobian))
    assert float((after.values / before.values - 1).abs().max()) <= 1e-8
    # the layer itself, in the basis, is the same up to signs
    one, two = activations @ before.to_basis, activations @ R @ after.to_basis
    assert float((one.abs() - two.abs()).abs().max()) <= 1e-8 * float(one.abs().max())


@support.every_seed
def test_the_basis_is_uncorrelated_and_loses_nothing_that_matters(seed):
    activations, _ = layer(seed)
    jacobian = support.normal((30, 5), 20 + seed) @ support.normal((5, 12), 40 + seed)
    found = interaction_basis(activations, jacobian)
    assert (found.activation_rank, found.jacobian_rank, len(found.values)) == (8, 5, 5)
    mapped = activations @ found.to_basis
    support.assert_close(mapped.mT @ mapped / 500, torch.diag(found.values**2), 1e4)
    support.assert_close(mapped @ found.from_basis @ jacobian, activations @ jacobian, 1e4)


@support.every_seed
def test_modules_that_do_not_interact_are_told_apart(seed):
    blocks = torch.block_diag(*(support.normal((k, k), seed + k) for k in (2, 3, 4)))
    order = torch.randperm(9, generator=support.generator(seed))
    found = modules(blocks[order][:, order], 1e-9)
    truth = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2])[order]
    assert torch.equal(found[:, None] == found, truth[:, None] == truth)


def test_the_analysis_counts_what_varies_what_matters_and_both():
    A = DenseMatrix(Space((30,), torch.float64), Space((5,), torch.float64), support.normal((5, 30)))
    found = analyses["interaction"].function(A, latent=8)
    assert (found.activation_rank, found.jacobian_rank, found.dimension) == (8, 5, 5)
    with pytest.raises(SpecError, match="30 units"):
        analyses["interaction"].function(A, latent=31)

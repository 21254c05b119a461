"""How far a residual is from white noise."""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.linalg import Space


def whiteness(residual: Tensor, space: Space) -> Tensor:
    """Return the distance of the normalised cumulative periodogram from that of white noise.

    Parameters
    ----------
    residual : Tensor
        Shape ``(*batch, *space.shape)``.
    space : Space
        Of the data; frequencies are taken along all its dimensions and ordered by their radius.

    Returns
    -------
    Tensor
        Shape ``(*batch,)``: root mean square difference of two curves from 0 to 1.
    """
    axes = tuple(range(-space.ndim, 0))
    power = torch.fft.fftn(residual, dim=axes).abs() ** 2
    radius = torch.zeros(space.shape, dtype=torch.float64, device=residual.device)
    for axis, n in enumerate(space.shape):
        line = torch.fft.fftfreq(n, dtype=torch.float64, device=residual.device) ** 2
        radius = radius + line.reshape(-1, *(1,) * (space.ndim - 1 - axis))
    order = radius.reshape(-1).argsort(stable=True)[1:]  # without the mean, which tells nothing of colour
    ordered = power.flatten(-space.ndim)[..., order]
    total = ordered.sum(-1, keepdim=True)
    cumulative = ordered.cumsum(-1) / torch.where(total > 0, total, 1)
    white = torch.arange(1, len(order) + 1, dtype=cumulative.dtype, device=cumulative.device) / len(order)
    return (cumulative - white).square().mean(-1).sqrt()

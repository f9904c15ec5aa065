"""scvi-tools: SCVI of one batch; x are counts [cells, genes], z is decoded to rates at a library size."""

import torch
from scvi.model import SCVI

from priorgap import Comparison, compare


def audit(model: SCVI, train, test, *, library: float, **options) -> Comparison:
    """Compare ways of sampling an SCVI model; decode gives the mean counts of a cell with `library` counts."""
    module = model.module.eval().cpu()

    def decode(z):
        size = torch.full((len(z), 1), library).log()
        return module.generative(z, size, torch.zeros(len(z), 1))["px"].mean

    return compare(lambda x: module.z_encoder(torch.log1p(x))[0], decode, train, test, **options)

"""Shift and scale the latents so that q(z) has mean 0 and variance 1 in each unit and images stay the same."""

import copy

import torch
from torch import nn

from priorgap.core.latents import Latents
from priorgap.models.families import Model
from priorgap.models.losses import ElboLoss
from priorgap.models.vae import VAE
from priorgap.priors.standard_normal import StandardNormal


def calibration_refusal(vae: Model, loss: ElboLoss | None = None) -> str | None:
    """Return why a model cannot be calibrated, in one line, or None where it can.

    The map z -> (z - b) / c can be folded into the networks only where the encoder ends and the decoder
    starts with an affine layer (a conditional decoder's first layer has separate weights for the label, which do not
    change) whose weights can be set (no weight norm, no spectral norm), and it brings q(z) nearer to the prior only
    where that is N(0, I). It completes what training on `loss` (None: the ELBO's two terms) aims at; free bits aim at
    something else.
    """
    if not isinstance(vae, VAE):
        return f"the model is no VAE but {type(vae).__name__}: it has no posterior to bring nearer to a prior"
    if loss is not None and loss.free_bits is not None:
        return f"loss.free_bits={loss.free_bits}: units below it have no reason to match the prior"
    if not isinstance(vae.prior, StandardNormal):
        return f"the prior is {type(vae.prior).__name__}: calibration is for the standard normal prior only"
    return vae.not_free_at_z()


def calibrate(vae: Model, latents_train: Latents, *, loss: ElboLoss | None = None) -> VAE:
    """Return a copy whose aggregate posterior has mean 0 and variance 1 in each unit.

    With m and v the mean and variance of z under the aggregate posterior, v_j = Var(mean_j) + E s_j^2, the
    new latent is (z - m) / sqrt(v): it is folded into the encoder's head, whose log-variance is shifted by -log v,
    and undone in the decoder's first layer. Reconstructions stay the same up to rounding.

    Args:
        vae: the trained model; it is not changed.
        latents_train: its posteriors of the training images.
        loss: the loss on which it was trained.

    Raises:
        ValueError: the model cannot be calibrated (`calibration_refusal`), or the posteriors do not fit it.
    """
    refusal = calibration_refusal(vae, loss)
    if refusal is not None:
        raise ValueError(f"calibrate: {refusal}")
    assert isinstance(vae, VAE)
    if latents_train.log_var is None or latents_train.dim != vae.latent_dim:
        raise ValueError(f"calibrate: expected posteriors (mean, log_var) of {vae.latent_dim} units")
    mean, variance = latents_train.mean.double(), latents_train.log_var.double().exp()
    shift = mean.mean(0)
    spread = mean.var(0, correction=0) + variance.mean(0)
    if not bool(torch.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError("calibrate: a unit of the aggregate posterior has no finite, positive variance")
    scale = spread.sqrt()
    result = copy.deepcopy(vae)
    head, first = result.encoder[-1], result.decoder[0]
    assert isinstance(head, nn.Linear)
    assert isinstance(first, nn.Linear)
    d = vae.latent_dim
    with torch.no_grad():
        weight, bias = head.weight.double(), head.bias.double()
        weight[:d] /= scale.to(weight.device)[:, None]
        bias[:d] = (bias[:d] - shift.to(bias.device)) / scale.to(bias.device)
        bias[d:] -= spread.log().to(bias.device)
        head.weight.copy_(weight)
        head.bias.copy_(bias)
        weight, bias = first.weight.double(), first.bias.double()
        first.bias.copy_(bias + weight @ shift.to(weight.device))
        first.weight.copy_(weight * scale.to(weight.device))
    return result

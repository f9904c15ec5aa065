"""pythae: a VAE whose encoder gives embedding and log_covariance, and whose decoder gives reconstruction."""

from pythae.models import VAE

from priorgap import Comparison, compare


def audit(vae: VAE, train, test, **options) -> Comparison:
    """Compare ways of sampling a pythae VAE; `train` and `test` are in the range that it was trained on."""
    vae.eval()
    return compare(vae.encoder, vae.decoder, train, test, **options)

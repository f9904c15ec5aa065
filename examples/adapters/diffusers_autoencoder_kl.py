"""diffusers: AutoencoderKL, whose z is an image of several channels (only pipelines use `scaling_factor`)."""

from priorgap import Comparison, compare, torchvision_compat

torchvision_compat.ensure()  # before diffusers: it imports torchvision
from diffusers import AutoencoderKL  # noqa: E402


def audit(vae: AutoencoderKL, train, test, **options) -> Comparison:
    """Compare ways of sampling an AutoencoderKL; `range=(-1, 1)` where its images go from -1 to 1."""
    vae.eval()
    return compare(vae.encode, vae.decode, train, test, **options)

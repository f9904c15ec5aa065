"""Priors p(z) that a VAE is trained with."""

"""Densities of z that are fitted after training; samplers draw from them and the bracket scores them."""

from priorgap.densities.gaussian import FittedGaussian, Gaussian
from priorgap.densities.mixture import FittedMixture, GaussianMixture
from priorgap.densities.protocols import Density, FittedDensity

__all__ = ["Density", "FittedDensity", "FittedGaussian", "FittedMixture", "Gaussian", "GaussianMixture"]

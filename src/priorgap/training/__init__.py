"""Training with Lightning: thin modules, in-memory batches, exact resume."""

# runs before any module of the package: pytorch_lightning imports torchmetrics, and that torchvision
from priorgap import torchvision_compat

torchvision_compat.ensure()

"""pytorch_lightning imports torchvision, which must be made importable first."""

from priorgap.core import torchvision_compat

torchvision_compat.ensure()

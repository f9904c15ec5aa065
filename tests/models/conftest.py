"""One test trains with Lightning, which imports torchvision: that must be made importable first."""

from priorgap.core import torchvision_compat

torchvision_compat.ensure()

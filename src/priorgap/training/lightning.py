"""Lightning, imported in one place: it imports torchmetrics, and that torchvision, which must be importable first."""

from priorgap.core import torchvision_compat

torchvision_compat.ensure()

import pytorch_lightning as pl  # noqa: E402
from pytorch_lightning.plugins.io import TorchCheckpointIO  # noqa: E402

__all__ = ["TorchCheckpointIO", "pl"]

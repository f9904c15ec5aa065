"""The one import of Lightning: it imports torchmetrics, and that torchvision, which must be importable first."""

from priorgap.core import torchvision_compat

torchvision_compat.ensure()

import pytorch_lightning as pl  # noqa: E402
from lightning_fabric.plugins.environments.lightning import LightningEnvironment  # noqa: E402
from pytorch_lightning.core.optimizer import LightningOptimizer  # noqa: E402
from pytorch_lightning.loggers import Logger  # noqa: E402
from pytorch_lightning.plugins import Precision  # noqa: E402
from pytorch_lightning.profilers import Profiler  # noqa: E402
from pytorch_lightning.utilities.types import OptimizerLRScheduler  # noqa: E402

__all__ = [
    "LightningEnvironment",
    "LightningOptimizer",
    "Logger",
    "OptimizerLRScheduler",
    "Precision",
    "Profiler",
    "pl",
]

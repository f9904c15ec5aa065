"""Lightning, imported after torchvision has been made importable.

pytorch_lightning imports torchmetrics, and that torchvision; beside a CPU build of torch the import fails unless
`torchvision_compat.ensure()` ran before. Modules of this package take Lightning from here.
"""

from priorgap import torchvision_compat

torchvision_compat.ensure()

import pytorch_lightning as pl  # noqa: E402

__all__ = ["pl"]

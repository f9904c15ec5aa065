"""Makes torchvision importable where its compiled operators do not match the installed torch.

PyPI's torchvision is built for CUDA. Beside a CPU build of torch its extension cannot be loaded, and
`import torchvision` then fails with `operator torchvision::nms does not exist`, because its Python part
registers meta kernels for two operators that were never defined. Declaring the two schemas first makes
datasets, transforms, models and utilities work; the box operators themselves stay unusable. Where
torchvision is whole nothing is touched.
"""

import importlib
import sys

_OPERATORS = ("nms", "qnms")
# The Library object must live as long as the process, because torch forgets the declarations without it.
_LIBRARIES: list[object] = []


def ensure() -> None:
    """Import torchvision, and declare its two missing operators where they are the reason that the import fails.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
        RuntimeError: the import fails for any other reason.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)
    importlib.import_module("torchvision")

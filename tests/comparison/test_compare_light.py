"""What `from priorgap import compare` brings with it: torch, and nothing that only some comparisons need."""

import subprocess
import sys

HEAVY = (
    "pytorch_lightning", "wandb", "dvc", "hydra", "ray", "sklearn", "matplotlib", "altair", "scipy.stats",
    "torchmetrics",
    "torchvision",
)  # fmt: skip


def test_importing_compare_imports_nothing_that_is_not_used():
    code = f"import sys; from priorgap import compare; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

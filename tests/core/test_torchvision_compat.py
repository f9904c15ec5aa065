"""torchvision is made importable beside a torch that it does not fit, and left alone elsewhere."""

import subprocess
import sys
import textwrap

import pytest
import torch

from priorgap.core import torchvision_compat


def run(code: str) -> str:
    """Run code in a fresh interpreter; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_datasets_transforms_and_models_work_in_a_fresh_process():
    output = run(
        """
        from priorgap.core import torchvision_compat
        torchvision_compat.ensure()
        torchvision_compat.ensure()
        import torch, torchvision
        from torchvision import datasets, models, transforms
        net = models.resnet18(num_classes=3).eval()
        print(tuple(net(torch.zeros(1, 3, 32, 32)).shape), hasattr(datasets, "MNIST"))
        print(transforms.functional.resize(torch.zeros(1, 8, 8), [4, 4]).shape[-1])
        import torchmetrics, pytorch_lightning
        """
    )
    assert output.splitlines() == ["(1, 3) True", "4"]


def test_importing_the_module_imports_nothing_heavy():
    assert (
        run(
            """
            import sys
            import priorgap, priorgap.core.torchvision_compat
            print(sorted({"torch", "torchvision", "numpy", "pytorch_lightning"} & sys.modules.keys()))
            """
        )
        == "[]"
    )


def test_a_whole_torchvision_is_left_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    imported = []
    monkeypatch.setattr(torchvision_compat.importlib, "import_module", lambda name: imported.append(name))
    monkeypatch.setattr(torch.library, "Library", None)
    torchvision_compat.ensure()
    assert imported == ["torchvision"]


def test_an_import_that_fails_for_another_reason_is_not_hidden(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)

    def fail(name):
        raise RuntimeError("libcudart.so.13 is missing")

    monkeypatch.setattr(torchvision_compat.importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match=r"libcudart\.so\.13"):
        torchvision_compat.ensure()


def test_an_absent_torchvision_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)

    def fail(name):
        raise ModuleNotFoundError("No module named 'torchvision'")

    monkeypatch.setattr(torchvision_compat.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="torchvision"):
        torchvision_compat.ensure()

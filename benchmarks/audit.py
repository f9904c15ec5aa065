"""How long the audit of a pythae VAE takes on all of MNIST, standard samplers and measures.

    PRIORGAP_DATA=DIR python benchmarks/audit.py [--latent-dim 10] [--epochs 3]

Run it in an environment that has pythae 0.1.2 beside priorgap; pythae's VAE has its own default networks. Prints wall
time, processor time and threads of `examples/adapters/pythae_vae.py` alone, and the processor.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import torch
from pythae.models import VAE, VAEConfig

from priorgap.core.processor import processor
from priorgap.data.images import TorchvisionImages

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "adapters"))
from pythae_vae import audit


def main() -> None:
    """Train, audit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent-dim", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    data = TorchvisionImages("mnist", 5000, 0).load(
        root=Path(os.environ.get("PRIORGAP_DATA", "data")), download=False
    )
    x = torch.cat([data.train.floats(), data.validation.floats()])
    label = torch.cat([data.train.label, data.validation.label])
    torch.manual_seed(0)
    vae = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=args.latent_dim))
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    for _ in range(args.epochs):
        for rows in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            vae({"data": x[rows]}).loss.backward()
            optimizer.step()
    wall, seconds = time.perf_counter(), time.process_time()
    found = audit(vae, (x, label), (data.test.floats(), data.test.label))
    wall, seconds = time.perf_counter() - wall, time.process_time() - seconds
    print(found.verdict.headline)
    print("\n| training images | test images | threads | wall, s | CPU, s |\n|---|---|---|---|---|")
    print(f"| {len(x):,} | {len(data.test):,} | {torch.get_num_threads()} | {wall:.0f} | {seconds:.0f} |\n")
    print(processor())


if __name__ == "__main__":
    main()

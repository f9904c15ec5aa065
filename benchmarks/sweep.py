"""The sweep engine beside others: training, encoding, batched training, a whole study.

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/sweep.py --peer-python PATH [--parts abcd]

(a) training images per CPU-second, MNIST, 784-512-256-16, batch 128, beside a bare loop of PyTorch and pythae's
trainer; (b) encoding 60,000 images beside what pythae's mixture sampler does before it fits; (c) digits models by
trainer=batched, beside single trainings in a pool of two processes and separate command lines; (d) a study of
models x 8 samplers beside the same assembled from pythae, torchmetrics and prdc, and where our time goes. CPU
seconds, children included; medians of rounds in turns for (a) and (b), one run for (c) and (d). pythae (0.1.2)
lives in an environment of its own: without --peer-python (a), (b), (d) print our side alone. Exits 1 where a goal
is not reached.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import numpy as np
import torch

import sweep_commands
from priorgap.core.batched_calls import encode_all
from priorgap.core.bf16 import bf16
from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, DataSource, Split, as_float
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss, objective
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae
from priorgap.pipeline.memory import keep_freed_blocks
from priorgap.training.fit import TrainerConfig, train_vae


class Peer:
    """pythae in a process of its own, which takes one order after the other."""

    def __init__(self, python: str, data: Path, folder: Path) -> None:
        script = Path(__file__).with_name("peer_pythae_sweep.py")
        self._log = (folder / "pythae.log").open("w")
        self._process = subprocess.Popen(
            [python, str(script), str(data), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip

    def ask(self, **order: object) -> dict[str, float]:
        """Give an order and wait for the CPU seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"pythae failed: {Path(self._log.name).read_text().splitlines()[-1:]}")
        found: dict[str, float] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()


def model_of(data: Dataset) -> VAE:
    """Return the default network with Bernoulli pixels, untrained."""
    return build_vae(MLP(), Bernoulli(), None, data.shape, generator=stream(0, "weights"))


def bare(data: Dataset, trainer: TrainerConfig, vae: VAE) -> None:
    """Train as `train_vae` does, by a loop of PyTorch alone: no hooks, no means, no validation, no checkpoint."""
    train, loss = data.train, ElboLoss()
    optimizer = torch.optim.Adam(vae.parameters(), lr=trainer.learning_rate, fused=True)
    order, noise = stream(0, "order"), stream(0, "noise")
    vae.train()
    for _ in range(trainer.max_epochs):
        for rows in torch.randperm(len(train), generator=order).split(trainer.batch_size):
            x = as_float(train.x.index_select(0, rows))
            drawn = torch.randn(len(x), vae.latent_dim, generator=noise)
            with bf16(vae.encoder, vae.decoder) if trainer.precision else nullcontext():
                value = objective(vae.terms(x, drawn), loss.alpha, loss.beta)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()


def training(mnist: Dataset, peer: Peer | None, given: argparse.Namespace) -> list[bool]:
    """(a): print images per CPU-second; return whether the goals are reached."""
    held = mnist.validation.take(slice(0, 100))
    data = Dataset("mnist", mnist.train.take(slice(0, given.images)), held, held, 10)
    names = ("float32", "bf16", "bare float32", "bare bf16", "pythae")
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(given.rounds + 1):
        for precision in (None, "bf16"):
            trainer = TrainerConfig(max_epochs=given.epochs, accelerator="cpu", precision=precision)
            vae = model_of(data)
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                train_vae(vae, data, ElboLoss(), trainer, seed=0, directory=Path(folder), progress=False)
                seconds = time.process_time() - start
            rates[precision or "float32"].append(given.images * given.epochs / seconds)
            vae = model_of(data)
            start = time.process_time()
            bare(data, trainer, vae)
            rates[f"bare {precision or 'float32'}"].append(
                given.images * given.epochs / (time.process_time() - start)
            )
        if peer is not None:
            found = peer.ask(task="train", images=given.images, epochs=given.epochs)
            rates["pythae"].append(given.images * given.epochs / found["seconds"])
    print(f"(a) training, {given.images} images, {given.epochs} epochs: images per CPU-second")
    # the first round warms up
    medians = {name: median(found[1:]) for name, found in rates.items() if found}
    for name, found in medians.items():
        print(f"    {name}: {found:.0f}")
    goals = [
        (f"{name} over bare", medians[name] / medians[f"bare {name}"], 0.93) for name in ("float32", "bf16")
    ]
    if peer is not None:
        for name in ("float32", "bf16"):
            print(f"    {name} over pythae: {medians[name] / medians['pythae']:.2f}")
    return sweep_commands.judged(goals)


def encoding(mnist: Dataset, peer: Peer | None, given: argparse.Namespace) -> list[bool]:
    """(b): print CPU seconds; return whether the goal is reached."""
    x = torch.cat([mnist.train.x, mnist.validation.x])
    everything, vae = Split(x), model_of(mnist).eval()
    ours, products, theirs = [], [], []
    for _ in range(given.rounds):
        start = time.process_time()
        encode_all(vae.encode, everything.batch, len(x), batch=1000)
        ours.append(time.process_time() - start)
        products.append(product_seconds(vae, len(x), 1000))
        if peer is not None:
            theirs.append(peer.ask(task="encode")["seconds"])
    print(
        f"(b) encoding {len(x)} images: ours {median(ours):.2f} CPU-s, of which the network's products alone take "
        f"{median(products):.2f}",
        end="",
    )
    if peer is None:
        print()
        return []
    print(
        f"; pythae's fit before its mixture {median(theirs):.2f}: with these products no ratio is above "
        f"{median(theirs) / median(products):.2f}"
    )
    return sweep_commands.judged([("pythae over ours", median(theirs) / median(ours), 4)])


@torch.no_grad()
def product_seconds(vae: VAE, n: int, batch: int) -> float:
    """Return the CPU seconds of the encoder's matrix products for n images, without all that stands between them."""
    layers = [m for m in vae.encoder.modules() if isinstance(m, torch.nn.Linear)]
    inputs = [torch.rand(batch, m.in_features, generator=stream(0, "inputs")) for m in layers]
    start = time.process_time()
    for _ in range(-(-n // batch)):
        for layer, x in zip(layers, inputs, strict=True):
            layer(x)
    return time.process_time() - start


def arrays(mnist: Dataset, path: Path, n_train: int | None, n_test: int | None) -> None:
    """Write MNIST, or the first rows of it, as .npz; the peer's training images are ours without validation."""
    train, test = (part.take(slice(0, n)) for part, n in ((mnist.train, n_train), (mnist.test, n_test)))
    validation = mnist.validation.take(slice(0, None if n_test is None else n_test))
    if n_train is None:
        train = Split(torch.cat([train.x, validation.x]), torch.cat([train.label, validation.label]))
    parts = {"train": train, "validation": validation, "test": test}
    content = {f"x_{k}": v.x.numpy() for k, v in parts.items()}
    np.savez(path, **content, **{f"y_{k}": v.label.numpy() for k, v in parts.items()})


def main() -> int:
    """Run the parts and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default="abcd")
    parser.add_argument("--peer-python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=12_800, help="of (a)")
    parser.add_argument("--epochs", type=int, default=2, help="of (a) and (d)")
    parser.add_argument("--batched-models", type=int, default=64)
    parser.add_argument("--batched-epochs", type=int, default=12)
    parser.add_argument("--batched-hidden", default="[64]", help="hidden widths of (c)'s networks")
    parser.add_argument("--commands", type=int, default=2, help="separate command lines timed in (c)")
    parser.add_argument("--models", type=int, default=2, help="of (d)")
    parser.add_argument("--train-images", type=int, default=10_000, help="of (d); 0: all")
    parser.add_argument("--test-images", type=int, default=2_000, help="of (d); 0: all")
    parser.add_argument(
        "--without-rest", action="store_true", help="(d) without the measures that the peers lack"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_blocks()
    reached: list[bool] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(given.parts) & set("abd"):
            source: DataSource = build(
                load_option("data", "mnist")["source"], DataSource, where="data.source"
            )
            mnist = source.load(root=Path(os.environ.get("PRIORGAP_DATA", "data")), download=False)
        if set(given.parts) & set("ab"):
            arrays(mnist, folder / "all.npz", None, 1)
            peer = Peer(given.peer_python, folder / "all.npz", folder) if given.peer_python else None
            for part, run in (("a", training), ("b", encoding)):
                reached += run(mnist, peer, given) if part in given.parts else []
            if peer is not None:
                peer.close()
        if "c" in given.parts:
            reached += sweep_commands.batched(folder, given)
        if "d" in given.parts:
            path = folder / "part.npz"
            arrays(mnist, path, given.train_images or None, given.test_images or None)
            peer = Peer(given.peer_python, path, folder) if given.peer_python else None
            reached += sweep_commands.study(path, folder, peer, given)
            if peer is not None:
                peer.close()
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

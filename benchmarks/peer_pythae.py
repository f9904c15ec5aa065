"""Fit one of pythae's samplers to given posteriors; run by samplers.py in an environment that has pythae.

python peer_pythae.py SAMPLER TABLE.pt EPOCHS FOLDER     SAMPLER: the name of a class below

Prints CPU seconds, memory growth and epochs as JSON.
"""

import json
import resource
import sys
import time

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.samplers import (
    GaussianMixtureSampler,
    GaussianMixtureSamplerConfig,
    IAFSampler,
    MAFSampler,
    TwoStageVAESampler,
)
from pythae.trainers import BaseTrainerConfig


class Table(BaseEncoder):
    """An encoder whose input is the number of a row, as a share of the last one."""

    def __init__(self, mean: torch.Tensor, log_var: torch.Tensor) -> None:
        super().__init__()
        self.mean, self.log_var, self.latent_dim = mean, log_var, mean.shape[1]

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Look the posterior up."""
        row = (x[:, 0].double() * (len(self.mean) - 1)).round().long()
        return ModelOutput(embedding=self.mean[row], log_covariance=self.log_var[row])


class Nothing(BaseDecoder):
    """A decoder that costs nothing."""

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Return one number a row."""
        return ModelOutput(reconstruction=z[:, :1])


def peak() -> float:
    """Return the peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fit, and print what it took."""
    torch.set_num_threads(1)
    name, table, epochs, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    mean, log_var, *_ = torch.load(table, weights_only=True)
    config = VAEConfig(input_dim=(1,), latent_dim=mean.shape[1])
    model = VAE(config, encoder=Table(mean, log_var), decoder=Nothing()).eval()
    x = torch.linspace(0, 1, len(mean), dtype=torch.float64)[:, None].float()
    kinds = {cls.__name__: cls for cls in (MAFSampler, IAFSampler, TwoStageVAESampler)}
    before, start = peak(), time.process_time()
    if name not in kinds:
        GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=50)).fit(x)
    else:
        training = BaseTrainerConfig(output_dir=folder, num_epochs=epochs, no_cuda=True)
        kinds[name](model).fit(x, training_config=training)
    seconds = time.process_time() - start
    found = {"seconds": seconds, "mb": peak() - before, "epochs": epochs if name in kinds else None}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

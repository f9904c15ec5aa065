"""What priorgap asks of every sampler, metric and data source, asked of these."""

import math
from pathlib import Path

import pytest
import torch
from priorgap_example.data import Bars
from priorgap_example.metrics import Brightness
from priorgap_example.samplers import FittedStudentT, StudentT

from priorgap.core.random import stream
from priorgap.testing import data_contract, metric_contract, sampler_contract

BARS = Bars(size=8, n_train=60, n_validation=20, n_test=30, data_seed=0)


@pytest.mark.parametrize("law", sampler_contract.LAWS.values(), ids=sampler_contract.LAWS)
def test_sampler(law):
    law(StudentT(dof=10))


@pytest.mark.parametrize("law", metric_contract.LAWS.values(), ids=metric_contract.LAWS)
def test_metric(law):
    law(Brightness())


@pytest.mark.parametrize("law", data_contract.LAWS.values(), ids=data_contract.LAWS)
def test_data_source(law, tmp_path: Path):
    law(BARS, tmp_path)


def test_the_density_is_student_s():
    """Against torch's own t in one dimension."""
    law = FittedStudentT(torch.tensor([0.3]).double(), torch.tensor([[2.0]]).double(), 7)
    z = torch.linspace(-9, 9, 50)[:, None]
    expected = torch.distributions.StudentT(7.0, 0.3, 2.0).log_prob(z[:, 0].double())
    assert torch.allclose(law.log_prob(z), expected)


def test_draws_have_heavier_tails_than_a_gaussian():
    law = FittedStudentT(torch.zeros(1).double(), torch.eye(1).double(), 5)
    z = law.sample(40_000, generator=stream(0)).z
    kurtosis = float((z / z.std()).pow(4).mean())
    assert kurtosis > 4 and math.isfinite(kurtosis)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="dof=4: expected"):
        StudentT(4)

"""The likelihood of tables against torch.distributions, by its draws, and where it must not count."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.models.likelihoods import Likelihood
from priorgap.models.networks import MLP
from priorgap.models.table_likelihood import TableLikelihood
from priorgap.models.vae import build_vae
from priorgap.tables.layout import Column, TableLayout

LAYOUT = TableLayout(
    (
        Column("a", "continuous", 0, 1, 1),
        Column("b", "categorical", 2, 5, categories=("u", "v", None)),
        Column("k", "integer", 5, 5, constant=True, value=3, mean=3.0),
        Column("c", "integer", 5, 6),
        Column("d", "boolean", 6, 8, categories=(False, True)),
        Column("e", "datetime", 8, 9, 9),
    )
)
N = 10


def likelihood(layout: TableLayout = LAYOUT) -> TableLikelihood:
    made = TableLikelihood(1.0, 0.01).for_table(layout).for_shape((layout.width,)).double()
    with torch.no_grad():
        made.log_sigma.copy_(torch.randn(len(made.log_sigma), generator=stream(1)))
    return made


def rows(n: int) -> torch.Tensor:
    """Rows as the codec makes them."""
    generator = stream(2)
    x = torch.zeros(n, N, dtype=torch.float64)
    for value, missing in ((0, 1), (8, 9)):
        x[:, missing] = (torch.rand(n, generator=generator) < 0.3).double()
        x[:, value] = torch.randn(n, generator=generator).double() * (1 - x[:, missing])
    x[:, 5] = torch.randn(n, generator=generator).double()
    x[torch.arange(n), 2 + torch.randint(0, 3, (n,), generator=generator)] = 1
    x[torch.arange(n), 6 + torch.randint(0, 2, (n,), generator=generator)] = 1
    return x


def closed_form(law: TableLikelihood, raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """-log p(x|z), column by column."""
    sigma = 0.01 + law.log_sigma.detach().exp()
    found = torch.zeros(len(x), dtype=torch.float64)
    for i, (value, missing) in enumerate(((0, 1), (5, None), (8, 9))):
        of_value = Normal(raw[:, value], sigma[i]).log_prob(x[:, value])
        if missing is not None:
            found -= Bernoulli(logits=raw[:, missing]).log_prob(x[:, missing])
            of_value = of_value * (x[:, missing] == 0)
        found -= of_value
    for block in (slice(2, 5), slice(6, 8)):
        found -= Categorical(logits=raw[:, block]).log_prob(x[:, block].argmax(1))
    return found


def test_log_likelihood_is_that_of_torch():
    law, x = likelihood(), rows(50)
    raw = 2 * torch.randn(50, N, generator=stream(3)).double()
    expected = closed_form(law, raw, x)
    torch.testing.assert_close(law.negative_log_likelihood(raw, x), expected)
    n_known = 3 - x[:, 1] - x[:, 9]
    loss = law.reconstruction_loss(raw, x) + 0.5 * math.log(2 * math.pi) * n_known
    torch.testing.assert_close(loss, expected)
    # a likelihood that reads the block of another column is told apart
    wrong = raw.clone()
    wrong[:, 2:5] = raw[:, 2:5].roll(1, 1)
    assert not torch.allclose(law.negative_log_likelihood(wrong, x), expected)


def test_a_missing_number_says_nothing_of_its_value():
    law, x = likelihood(), rows(20)
    x[:, 1] = 1
    raw = torch.zeros(20, N, dtype=torch.float64, requires_grad=True)
    law.negative_log_likelihood(raw, x).sum().backward()
    assert raw.grad is not None and (raw.grad[:, 0] == 0).all() and (raw.grad[:, 1] != 0).all()


def test_a_category_that_training_rows_have_not_counts_nothing():
    law, x = likelihood(), rows(20)
    raw = torch.randn(20, N, generator=stream(3)).double().requires_grad_()
    x[:, 2:5] = 0
    loss = law.negative_log_likelihood(raw, x)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and raw.grad is not None and (raw.grad[:, 2:5] == 0).all()
    assert torch.isfinite(raw.grad).all()


def test_draws_follow_it():
    law, n = likelihood(), 40_000
    raw = torch.randn(1, N, generator=stream(5)).double().expand(n, N)
    x = law.draw(raw, generator=stream(4))
    sigma = law.sigma.detach()
    missing, share = x[:, 1] == 1, float(raw[0, 1].sigmoid())
    assert abs(float(missing.double().mean()) - share) < 5 * math.sqrt(share * (1 - share) / n)
    assert (x[missing, 0] == 0).all()
    known = x[~missing, 0]
    assert abs(float(known.mean() - raw[0, 0])) < 5 * float(sigma[0]) / math.sqrt(len(known))
    assert float(known.std()) == pytest.approx(float(sigma[0]), rel=0.03)
    for block in (slice(2, 5), slice(6, 8)):
        assert (x[:, block].sum(1) == 1).all() and set(x[:, block].unique().tolist()) == {0.0, 1.0}
        p = raw[0, block].softmax(0)
        error = 5 * (p * (1 - p) / n).sqrt()
        assert ((x[:, block].mean(0) - p).abs() < error).all()
        # negative control: the most likely category is no draw
        top = law.mean(raw[:100])[:, block].mean(0)
        assert not ((top - p).abs() < error).all()


def test_its_expectation_is_the_mean_of_its_draws():
    law, n = likelihood(), 40_000
    raw = torch.randn(1, N, generator=stream(5)).double()
    x = law.draw(raw.expand(n, N), generator=stream(4))
    error = 5 * x.std(0) / math.sqrt(n) + 1e-12
    assert ((x.mean(0) - law.expectation(raw)[0]).abs() < error).all()
    assert not ((x.mean(0) - law.mean(raw)[0]).abs() < error).all()
    assert float(law.squared_error(raw, x[:1])) == pytest.approx(
        float((law.expectation(raw) - x[:1]).square().sum())
    )


def test_the_mean_is_the_most_likely_category():
    law, raw = likelihood(), torch.randn(30, N, generator=stream(3)).double()
    x = law.mean(raw)
    assert torch.equal(x[:, 2:5].argmax(1), raw[:, 2:5].argmax(1)) and (x[:, 2:5].sum(1) == 1).all()
    assert torch.equal(x[:, 5], raw[:, 5]) and torch.equal(x[:, 1] == 1, raw[:, 1] >= 0)
    assert (x[x[:, 1] == 1, 0] == 0).all()


def test_tables_of_one_kind_alone():
    numbers = TableLayout((Column("a", "continuous", 0, 1),))
    names = TableLayout((Column("b", "categorical", 0, 2, categories=("u", "v")),))
    raw = torch.randn(4, 1, generator=stream(0)).double()
    law = likelihood(numbers)
    expected = -Normal(raw[:, 0], law.sigma.detach()).log_prob(torch.zeros(4).double())
    torch.testing.assert_close(law.negative_log_likelihood(raw, torch.zeros(4, 1).double()), expected)
    assert law.draw(raw, generator=stream(1)).shape == law.mean(raw).shape == (4, 1)
    two, x = torch.randn(4, 2, generator=stream(0)).double(), torch.tensor([[1.0, 0.0]] * 4).double()
    law = likelihood(names)
    torch.testing.assert_close(law.negative_log_likelihood(two, x), -two.log_softmax(1)[:, 0])
    assert law.draw(two, generator=stream(1)).sum() == 4


def test_sigma_learns_the_error_and_stays_above_its_least():
    table = TableLayout((Column("a", "continuous", 0, 1),))
    law = TableLikelihood(1.0, 0.05).for_table(table)
    x = torch.tensor([[0.3], [-0.3]])
    for error, sigma in ((x, 0.3), (0 * x, 0.05)):
        optimiser = torch.optim.Adam(law.parameters(), lr=0.05)
        for _ in range(600):
            optimiser.zero_grad()
            law.reconstruction_loss(torch.zeros(2, 1), error).mean().backward()
            optimiser.step()
        assert float(law.sigma.detach()) == pytest.approx(sigma, rel=0.02)
    assert float(law.sigma.detach()) > 0.05


def test_a_model_has_it_from_its_table_and_from_nothing_else():
    option = build(load_option("likelihood", "table"), Likelihood, where="likelihood")
    vae = build_vae(MLP(2, (8,)), option.for_table(LAYOUT), None, (N,), generator=stream(0))
    # places are no weights
    assert {name for name in vae.state_dict() if name.startswith("likelihood")} == {"likelihood.log_sigma"}
    with pytest.raises(ValueError, match="likelihood=table: the data are no table; expected data=table"):
        option.for_table(None)
    with pytest.raises(ValueError, match=r"the data have shape \[3\]"):
        option.for_table(LAYOUT).for_shape((3,))
    with pytest.raises(ValueError, match="min_sigma=2"):
        TableLikelihood(1.0, 2.0)

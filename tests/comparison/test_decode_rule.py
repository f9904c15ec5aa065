"""Both decode rules in compare(): what decode gives, and draws of p(x|z), by a function or by a likelihood."""

import doctest

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from priorgap import compare
from priorgap.models import Bernoulli, ContinuousBernoulli, Gaussian, LearnedGaussian

N_UNITS, N_DIMS, SIGMA = 2, 6, 0.8


class Planted:
    """x = A z + noise: a draw of p(x|z) for z of the prior has the data's law, a mean the law without noise."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.A = torch.linalg.qr(torch.randn(N_DIMS, N_UNITS, generator=g))[0] * torch.tensor([1.5, 2.5])
        self.variance = 1 / (1 + (self.A**2).sum(0) / SIGMA**2)

    def data(self, n: int, seed: int) -> torch.Tensor:
        g = torch.Generator().manual_seed(seed)
        return torch.randn(n, N_UNITS, generator=g) @ self.A.T + SIGMA * torch.randn(n, N_DIMS, generator=g)

    def encode(self, x):
        mean = x @ self.A * (self.variance / SIGMA**2)
        return mean, self.variance.log().expand_as(mean)

    def decode(self, z):
        return z @ self.A.T

    def draw(self, z, generator):
        return self.decode(z) + SIGMA * torch.randn(len(z), N_DIMS, generator=generator)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def data(planted):
    return {"train": planted.data(3000, 1), "test": planted.data(2500, 2)}


def run(planted, data, **changes):
    arguments = {
        **data, "encode": planted.encode, "decode": planted.decode,
        "samplers": ["prior", "posterior", "gaussian_full"],
        "metrics": ["rate", "fid", "reconstruction"], "features": "pixels", "n": 2000, "seed": 1,
    }  # fmt: skip
    return compare(**{**arguments, **changes})


@pytest.fixture(scope="module")
def both(planted, data):
    return run(planted, data, likelihood=("gaussian", SIGMA))


def fids(found, rule: str) -> dict[str, float]:
    table = found.table
    rows = table[(table["measure"] == "fid") & (table["bound"] == "point") & (table["decode"] == rule)]
    return dict(zip(rows["sampler"], rows["value"], strict=True))


def test_draws_have_the_law_of_the_data_and_means_lack_the_noise(planted, both):
    for name in ("prior", "posterior", "gaussian_full"):
        # four of six dimensions are noise alone: their squared distance is sigma^2 each
        assert fids(both, "mean")[name] > 4 * SIGMA**2 * 0.9
        assert fids(both, "draw")[name] < 0.1
    x = both.samples("prior", decode_rule="draw").x.double()
    truth = planted.A @ planted.A.T + SIGMA**2 * torch.eye(N_DIMS)
    assert torch.allclose(torch.cov(x.T), truth.double(), atol=0.35)


def test_each_rule_is_a_cell_and_a_sentence_says_what_it_costs(both):
    assert set(both.table["decode"]) == {"mean", "draw"} and both.table["model"].nunique() == 2
    assert [cell.keys for cell in both.verdict.cells] == [{"decode": "draw"}, {"decode": "mean"}]
    assert "draws of p(x|z) have" in both.verdict.text
    rates = both.table[both.table["measure"] == "rate"]
    of_rule = [rates.loc[rates["decode"] == rule, "value"].tolist() for rule in ("mean", "draw")]
    assert of_rule[0] and of_rule[0] == of_rule[1]
    assert "decode=draw" in both.to_markdown()


@pytest.mark.parametrize("rule", ["mean", "draw"])
def test_each_rule_is_the_same_alone(planted, data, both, rule):
    alone = run(planted, data, likelihood=("gaussian", SIGMA), decode_rule=rule)
    assert set(alone.table["decode"]) == {rule} and fids(alone, rule) == fids(both, rule)
    assert len(alone.verdict.cells) == 1
    assert alone.generate(5, "prior").card.decode == rule


def test_functions_likelihoods_and_distributions_draw_from_one_law(planted, data, both):
    ways = {
        "function": {"draw": planted.draw},
        "distribution": {"draw": lambda z: Normal(planted.decode(z), SIGMA)},
        "global state": {"draw": lambda z: planted.decode(z) + SIGMA * torch.randn(len(z), N_DIMS)},
        "numpy": {"draw": lambda z: planted.decode(z) + np.random.normal(0, SIGMA, (len(z), N_DIMS))},
        "object": {"likelihood": Gaussian(SIGMA, squash=False)},
        "learned": {"likelihood": LearnedGaussian(SIGMA, squash=False)},
    }  # fmt: skip
    for name, way in ways.items():
        state = torch.get_rng_state()
        found = run(planted, data, **way, decode_rule="draw", metrics=["fid"], samplers=["prior"])
        again = run(planted, data, **way, decode_rule="draw", metrics=["fid"], samplers=["prior"])
        assert torch.equal(torch.get_rng_state(), state)
        assert fids(found, "draw") == fids(again, "draw"), name
        assert fids(found, "draw")["prior"] < 0.1, name
        # the same z gives the same x, whatever is drawn with it
        assert np.array_equal(found.generate(30, "prior").x, found.generate(300, "prior").x[:30]), name
    same = run(planted, data, likelihood=Gaussian(SIGMA, squash=False), decode_rule="draw", metrics=["fid"])
    assert fids(same, "draw") == fids(both, "draw")


def test_generate_decodes_as_it_is_asked(both):
    mean, drawn = (both.generate(400, "prior", decode_rule=rule) for rule in ("mean", "draw"))
    noise = drawn.x - mean.x
    assert noise.std() == pytest.approx(SIGMA, rel=0.1) and abs(noise.mean()) < 0.1
    assert (mean.card.decode, drawn.card.decode) == ("mean", "draw")
    assert np.array_equal(both.generate(400, "prior").x, mean.x)
    with pytest.raises(ValueError, match=r"decode_rule=.*median.*expected 'mean' or 'draw'"):
        both.generate(4, "prior", decode_rule="median")


def test_sigma_is_in_the_units_of_the_model():
    """Of images in [-1, 1] half of it is left in [0, 1]."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(300, 1, 8, 8, generator=g) * 2 - 1
    found = compare(
        lambda x: (x.flatten(1)[:, :2], torch.full((len(x), 2), -3.0)),
        lambda z: (z.mean(1) * 0.1).clamp(-1, 1)[:, None, None, None].expand(-1, 1, 8, 8).clone()
        + torch.zeros(1, 8, 8), x[:200], x[200:], range=(-1, 1), likelihood=("gaussian", 0.2),
        samplers=["prior"], metrics=["fid"], features="pixels", n=50,
    )  # fmt: skip
    if found.drawn is None:
        pytest.fail(found.verdict.headline)
    mean, drawn = (found.samples("prior", decode_rule=rule).floats() for rule in ("mean", "draw"))
    assert float((drawn - mean).std()) == pytest.approx(0.1, rel=0.1)


def test_bernoulli_draws_are_black_or_white(tmp_path):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(400, 2, generator=g)
    weights = torch.randn(2, 64, generator=g)

    def decode(z):
        return (z @ weights).sigmoid().view(-1, 1, 8, 8)

    x = torch.bernoulli(decode(z), generator=g)
    back = torch.linalg.pinv(weights)

    def encode(x):
        mean = (4 * x.flatten(1) - 2) @ back
        return mean, torch.full_like(mean, -2.0)

    found = compare(
        encode, decode, x[:250], x[250:], likelihood="bernoulli", samplers=["prior", "gaussian_full"],
        metrics=["fid"], features="pixels", n=100,
    )  # fmt: skip
    drawn, mean = (found.samples("prior", decode_rule=rule).x for rule in ("draw", "mean"))
    assert set(drawn.unique().tolist()) == {0, 255} and len(mean.unique()) > 20
    assert float((drawn.float() - mean.float()).mean().abs()) < 5
    page = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "decode=draw" in page and "decode=mean" in page and "p(x|z) around it is not known" not in page
    # reconstructions and the latent plane are means, also where draws alone are measured
    alone = compare(
        encode, decode, x[:250], x[250:], likelihood="bernoulli", samplers=["prior", "gaussian_full"],
        metrics=["fid"], features="pixels", n=100, decode_rule="draw",
    )  # fmt: skip
    shown, kept = alone.drawn.previews("draw"), found.drawn.previews("draw")
    assert set(np.unique(shown["prior"])) == {0, 255}
    planes = [of.drawn.aggregate().plane.shown for of in (alone, found)]
    for one, other in ((shown["reconstructions"], kept["reconstructions"]), planes):
        one, other = np.asarray(one, float), np.asarray(other, float)
        # two runs of products in float32 agree up to rounding, which is one level of a byte
        assert one.shape == other.shape and np.abs(one - other).max() <= 1 and len(np.unique(one)) > 20


def test_means_alone_say_how_to_add_draws(planted, data, tmp_path):
    found = run(planted, data, metrics=["fid"], samplers=["prior"])
    assert set(found.table["decode"]) == {"mean"} and found.skipped == {}
    assert "draw=, or likelihood=" in found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"decode_rule=.*draw.*: expected 'mean': decode gives E\[x\|z\]"):
        found.generate(3, "prior", decode_rule="draw")


class Wide(Planted):
    """Takes a context beside z, and says it."""

    def draw(self, z, context, generator):
        assert len(context) == len(z)
        return super().draw(z, generator) + context

    def decode(self, z, context=None):
        return super().decode(z) + (0 if context is None else context)


def test_draws_get_contexts_too(data):
    model = Wide()
    contexts = tuple(
        3 * torch.randn(len(one), 1, generator=torch.Generator().manual_seed(9)) for one in data.values()
    )
    shifted = {name: one + c for (name, one), c in zip(data.items(), contexts, strict=True)}
    found = compare(
        lambda x, context: model.encode(x - context), lambda z, context: model.decode(z, context), **shifted,
        context=contexts, draw=model.draw, samplers=["prior", "posterior"], metrics=["fid"], features="pixels",
        n=2000,
    )  # fmt: skip
    assert fids(found, "draw")["prior"] < 0.1 and fids(found, "mean")["prior"] > 2


BAD = {
    "nothing to draw from": ({"decode_rule": "draw"}, r"decode_rule=.*draw.*: decode gives E\[x\|z\].*likelihood= "),
    "no rule": ({"decode_rule": "median"}, "decode_rule=.*median.*: expected 'mean', 'draw', or"),
    "twice": ({"decode_rule": ("mean", "mean")}, "decode_rule=.*: expected 'mean', 'draw', or"),
    "no rules": ({"decode_rule": ()}, "decode_rule=.*: expected 'mean'"),
    "draw is no function": ({"draw": 3}, "draw=3: expected a callable"),
    "both": ({"draw": lambda z: z, "likelihood": "bernoulli"}, "likelihood: given beside draw="),
    "another argument": ({"draw": lambda z, rng: z}, "draw: takes rng beside z; expected the names label, context"),
    "draw of another shape": ({"draw": lambda z: z}, r"draw: gave rows of shape \(2,\), expected those of train"),
    "draw without rows": ({"draw": lambda z: None}, "draw: gave NoneType, expected"),
    "draw takes a label": ({"draw": lambda z, label: z}, "draw: takes a label, and decode takes none"),
    "draw takes a context": ({"draw": lambda z, context: z}, "draw: takes a context, and none is given"),
    "no likelihood": ({"likelihood": "cauchy"}, "likelihood=cauchy: .*expected one of bernoulli"),
    "no sigma": ({"likelihood": "gaussian"}, "likelihood='gaussian': its sigma is missing; expected"),
    "bad sigma": ({"likelihood": ("gaussian", -1)}, "likelihood=.*-1.*: expected a positive number for sigma"),
    "sigma of none": ({"likelihood": ("bernoulli", 1)}, "likelihood=.*: expected 'bernoulli' alone"),
    "no name": ({"likelihood": 3}, "likelihood=3: expected a name"),
    "means do not decide it": ({"likelihood": ContinuousBernoulli()}, "likelihood=continuous_bernoulli: .*draw="),
    "no probabilities": ({"likelihood": Bernoulli()}, "likelihood=bernoulli: decode gives .*probabilities"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_arguments_are_one_line(planted, data, case):
    changes, words = BAD[case]
    with pytest.raises(ValueError, match=words) as caught:
        run(planted, data, **changes)
    assert "\n" not in str(caught.value)


def test_the_example_of_the_documentation_runs(capsys):
    names: dict[str, object] = {}
    example = doctest.DocTestParser().get_doctest(compare.__doc__ or "", names, "compare", None, None)
    found = doctest.DocTestRunner().run(example, clear_globs=False)
    assert found.attempted > 5 and found.failed == 0, capsys.readouterr().out
    assert "**Do this:**" in str(example.globs["text"])

"""What a comparison gives back: its fitted samplers, new data with a card, a page, a chart, a folder of results."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from priorgap import compare
from priorgap.comparison.result import Comparison

N = 600


class Model:
    """Factor analysis by principal components, two units, on vectors of two classes."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.label = torch.arange(N) % 2
        z = torch.randn(N, 2, generator=generator) + 3.0 * self.label[:, None] - 1.5
        self.basis = torch.randn(2, 5, generator=generator)
        self.x = z @ self.basis + 0.05 * torch.randn(N, 5, generator=generator)

    def encode(self, x):
        mean = x @ torch.linalg.pinv(self.basis)
        return mean, torch.full_like(mean, -6.0)

    def decode(self, z):
        return z @ self.basis


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


def compared(model: Model, **options) -> Comparison:
    settings = {
        "samplers": ["prior", "gmm", "per_class_gaussian_full"],
        "metrics": ["rate", "fid", "kid"],
    }
    own = {"labels": [model.label[:400], model.label[400:]], "features": "pixels", **settings, **options}
    return compare(model.encode, model.decode, model.x[:400], model.x[400:], **own)


@pytest.fixture(scope="module")
def found(model) -> Comparison:
    return compared(model)


@pytest.fixture(scope="module")
def stopped(model) -> Comparison:
    """Of a model whose log_var is a variance: nothing is measured."""
    return compare(
        lambda x: (model.encode(x)[0], torch.full((len(x), 2), 40.0)),
        model.decode,
        model.x[:400],
        model.x[400:],
    )


def test_the_fitted_samplers_are_there(found, model):
    z = found.sampler("gmm").sample(5000, generator=torch.Generator().manual_seed(1)).z
    expected = model.encode(model.x[:400])[0]
    assert (z.mean(0) - expected.mean(0)).abs().max() < 0.25
    with pytest.raises(
        ValueError, match="sampler='nope': expected one of prior, gmm, per_class_gaussian_full"
    ):
        found.sampler("nope")


def test_samples_are_what_was_measured(found, model):
    x = found.samples("prior").x
    fid = found.table.query("measure == 'fid' and sampler == 'prior'")
    assert len(x) == int(fid["n"].iloc[0])
    # of the decoder: in its plane
    assert torch.allclose(x @ torch.linalg.pinv(model.basis) @ model.basis, x, atol=1e-4)


class TestGenerate:
    def test_the_recommended_sampler_by_default(self, found):
        assert found.verdict.recommended == "gmm" or found.verdict.recommended == "per_class_gaussian_full"
        data = found.generate(1000)
        assert data.x.shape == (1000, 5) and data.x.dtype == np.float32
        assert data.card.sampler == found.verdict.recommended
        same = found.generate(1000, found.verdict.recommended)
        assert np.array_equal(data.x, same.x)

    def test_n_extends_and_the_seed_changes(self, found):
        assert np.array_equal(found.generate(5000, "prior").x[:10], found.generate(10, "prior").x)
        assert not np.array_equal(found.generate(10, "prior", seed=1).x, found.generate(10, "prior").x)

    def test_one_class(self, found):
        data = found.generate(300, "per_class_gaussian_full", label=1)
        assert (data.label == 1).all() and data.card.label == "1"
        other = found.generate(300, "per_class_gaussian_full", label=0)
        assert np.abs(data.x.mean(0) - other.x.mean(0)).max() > 1
        with pytest.raises(ValueError, match="class=1: the draws of this sampler have no class"):
            found.generate(5, "prior", label=1)
        with pytest.raises(ValueError, match="label=2: expected one of the classes 0, 1"):
            found.generate(5, "per_class_gaussian_full", label=2)

    @pytest.mark.parametrize("names", [[1, 2], [7, 30], ["b", "a"], ["../../etc", "x/y"]])
    def test_classes_are_called_as_the_labels_are(self, model, names, tmp_path):
        """The second of one's own classes is not our class 1: another number, and another order of names."""
        labels = [[names[k] for k in part.tolist()] for part in (model.label[:400], model.label[400:])]
        result = compared(model, labels=labels, samplers=["per_class_gaussian_full"], metrics=["fid"])
        for number, name in enumerate(names):
            data = result.generate(400, "per_class_gaussian_full", label=name)
            assert set(data.label.tolist()) == {name}
            expected = model.x[model.label == number].mean(0).numpy()
            assert np.abs(data.x.mean(0) - expected).max() < 0.6
        assert set(result.generate(100, "per_class_gaussian_full").label.tolist()) == set(names)
        with np.load(
            result.generate(10, "per_class_gaussian_full").save(tmp_path / "x.npz").with_name("x.npz")
        ) as arrays:
            assert set(arrays["y"].tolist()) <= set(names)

    def test_it_is_saved_with_its_card(self, found, tmp_path):
        data = found.generate(50, "gmm")
        card = data.save(tmp_path / "x.csv")
        assert np.allclose(pd.read_csv(tmp_path / "x.csv").to_numpy(), data.x)
        facts = yaml.safe_load(card.read_text(encoding="utf-8").split("---")[1])
        assert facts["sampler"] == "gmm" and facts["n"] == 50 and facts["usable"] is True
        with pytest.raises(ValueError, match="exists already"):
            data.save(tmp_path / "x.csv")
        with pytest.raises(ValueError, match="no images"):
            data.save(tmp_path / "pictures")

    def test_the_card_has_the_tables_numbers(self, found):
        value = float(found.table.query("measure == 'fid' and sampler == 'gmm'")["value"].iloc[0])
        (fid,) = [one for one in found.generate(5, "gmm").card.measured if one.title.startswith("FID")]
        assert fid.value == value

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((0,), "n=0: expected an integer from 1"),
            ((2.5,), "n=2.5: expected"),
            ((True,), "n=true: expected"),
            ((5, "nope"), "sampler='nope': expected one of prior"),
        ],
    )
    def test_bad_orders_are_one_line(self, found, arguments, words):
        with pytest.raises(ValueError, match=words) as caught:
            found.generate(*arguments)
        assert "\n" not in str(caught.value)

    def test_garbage_is_refused_or_marked(self, model):
        """A decoder that keeps next to nothing of its code: no recommendation, and a mark on what is drawn."""
        noise = torch.randn(5, generator=torch.Generator().manual_seed(2))
        sick = compare(
            model.encode, lambda z: z[:, :1] * 0.01 + noise, model.x[:400], model.x[400:],
            samplers=["prior", "gmm"], metrics=["rate", "fid", "reconstruction"], features="pixels",
        )  # fmt: skip
        assert sick.health[0].severity == "stop"
        with pytest.raises(ValueError, match="nothing is recommended"):
            sick.generate(5)
        with pytest.warns(UserWarning, match="recommends no sampler"):
            data = sick.generate(5, "prior")
        assert "Do not use these data" in data.card.to_markdown()

    def test_healthy_models_warn_of_nothing(self, found):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.generate(5, "prior")


class TestWhatStopped:
    def test_there_are_no_draws_and_the_line_says_why(self, stopped):
        assert stopped.drawn is None and stopped.health[0].severity == "stop"
        for ask in (
            lambda: stopped.generate(5),
            lambda: stopped.samples("prior"),
            lambda: stopped.sampler("prior"),
        ):
            with pytest.raises(ValueError, match="there are no draws: "):
                ask()

    def test_its_page_says_what_to_mend(self, stopped, tmp_path):
        page = stopped.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
        assert stopped.verdict.headline.replace("'", "&#39;") in page and "<script" not in page
        assert stopped.verdict.headline.split(".")[0] in stopped._repr_html_()
        with pytest.raises(ValueError, match="nothing was measured"):
            stopped.plot()


class TestPage:
    def test_it_is_one_file(self, found, tmp_path):
        place = found.to_html(tmp_path / "sub" / "page.html")
        assert [p.name for p in place.parent.iterdir()] == ["page.html"]
        page = place.read_text(encoding="utf-8")
        assert "<h1>page</h1>" in page and "vegaEmbed(" in page and "N(0, 1) dashed" not in page
        assert "Aggregate posterior over the prior" in page
        with pytest.raises(ValueError, match="a folder"):
            found.to_html(tmp_path)

    def test_images_are_shown_with_the_data_and_their_reconstructions_first(self, tmp_path):
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(300, 1, 4, 4, generator=generator)
        basis = torch.linalg.svd(x.flatten(1) - 0.5)[2][:3]
        result = compare(
            lambda x: ((x.flatten(1) - 0.5) @ basis.T, torch.full((len(x), 3), -4.0)),
            lambda z: (z @ basis + 0.5).clamp(0, 1).view(-1, 1, 4, 4),
            x[:200], x[200:], samplers=["prior", "gmm"], metrics=["rate", "fid"], features="pixels",
        )  # fmt: skip
        page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
        shown = re.findall(r'alt="Samples from (\w+)', page)
        assert shown[:2] == ["real", "reconstructions"] and set(shown[2:]) == {"prior", "gmm"}
        assert "<dt>Data</dt><dd>grey images of 4 x 4; 200 for training" in page
        assert 'class="plane decodes"' in page, "the user's decoder was asked for the plane"

    def test_save_writes_what_the_pipeline_writes(self, found, tmp_path):
        page = found.save(tmp_path / "results")
        names = {p.name for p in (tmp_path / "results").iterdir()}
        assert names == {"results.csv", "verdict.json", "table.md", "table.tex", "report.html", "figures"}
        assert page.name == "report.html"
        record = json.loads((tmp_path / "results" / "verdict.json").read_text(encoding="utf-8"))
        assert record["headline"] == found.verdict.headline
        again = pd.read_csv(tmp_path / "results" / "results.csv")
        assert np.allclose(again["value"], found.table["value"].astype(float), equal_nan=True, rtol=1e-9)
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="a file; expected a folder"):
            found.save(tmp_path / "file")

    def test_a_notebook_shows_the_verdict_and_the_table(self, found):
        shown = found._repr_html_()
        assert "<b>Do this.</b>" in shown and shown.count("<table") == 1 and ">gmm<" in shown


class TestPlot:
    def test_the_ranking_measure_by_default(self, found):
        spec = found.plot().to_dict()
        (rows,) = spec["datasets"].values()
        values = {row["sampler"]: row for row in rows}
        table = found.table.query("measure == 'fid' and sampler != ''").set_index("sampler")
        assert set(values) == set(table.index)
        for name, row in values.items():
            error = 1.96 * float(table["std_error"][name])
            assert row["value"] == pytest.approx(float(table["value"][name]))
            assert row["high"] - row["low"] == pytest.approx(2 * error)
        assert "FID" in spec["description"] and "smaller is better" in spec["description"]

    def test_another_measure_and_none(self, found):
        assert found.plot("kid").to_dict()["description"].startswith("KID")
        with pytest.raises(ValueError, match=r"measure='rate': no sampler has it; expected one of .*fid"):
            found.plot("rate")
        with pytest.raises(ValueError, match="measure='nope'"):
            found.plot("nope")


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_it_is_called_where_gradients_are_off(model, off, found):
    """People evaluate models under no_grad; classifiers and densities are fitted there all the same."""
    x, label = model.x.clone(), model.label.clone()
    with off():
        images = (x - x.min()) / (x.max() - x.min())
        result = compare(
            model.encode, model.decode, images[:400] * 1.0, images[400:] * 1.0,
            labels=[label[:400] + 0, label[400:] + 0], samplers=["prior", "gaussian_full"], metrics=["fid"],
            features="classifier",
        )  # fmt: skip
    assert set(result.table["space"]) == {"classifier"}

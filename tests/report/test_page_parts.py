"""What a page is made of beside tables and charts: words, what was studied, the matrix of samples, neighbours."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic_study as synthetic

from priorgap.core.catalogue import BUILTIN
from priorgap.report import page_of
from priorgap.report import tables as tab
from priorgap.report.glossary import TERMS, Glossary, Words
from priorgap.report.latent import normal_path, plane_view, svg_path, unit_views
from priorgap.report.matrix import Matrix, figure_of, matrix_of
from priorgap.report.neighbours import neighbours
from priorgap.report.pictures import copied, matrix_rows, model_name
from priorgap.report.studied import DataFacts, Studied
from priorgap.report.summaries import latex, latex_table
from priorgap.verdict import decide_study


class TestGlossary:
    def test_every_term_has_an_id_of_its_own_and_reads_in_any_words(self):
        assert len({term.id for term in TERMS}) == len(TERMS)
        for words in (Words.of("image"), Words.of("window"), Words.of("row")):
            page = Glossary(words)
            for term in TERMS:
                page.term(term.name)
            for _, name, meaning in page.entries():
                assert meaning.endswith(".") and "{" not in meaning, name

    def test_only_what_is_used_is_listed(self):
        page = Glossary(Words.of("row"))
        link = page.term("prior", "the <prior>")
        assert 'href="#term-prior"' in link and "the &lt;prior&gt;" in link
        page.use("control")
        page.use("no word of the glossary")
        assert [name for _, name, _ in page.entries()] == ["Control", "Prior"]
        with pytest.raises(KeyError):
            page.term("no such word")

    def test_measures_speak_of_what_the_data_are(self):
        windows = Glossary(Words.of("window"))
        assert "test images" in BUILTIN["fid"].sentence
        assert windows.explained(BUILTIN["fid"]).startswith("Fréchet distance of samples to test windows in")
        assert (
            windows.explained(BUILTIN["rate"]) == "How much a code tells of its window; no mismatch. In nats."
        )
        assert "a window's own posterior draw" in windows.explained(BUILTIN["memorisation_auc"])
        images = Glossary(Words.of("image"))
        assert all(one.sentence in images.explained(one) for one in BUILTIN.values())
        assert images.explained(BUILTIN["fid"]).endswith("Smaller is better.")
        assert Words.of("observation").said("An image of an image") == "An observation of an observation"


class TestStudied:
    def test_facts(self):
        table = synthetic.study(alphas=(1.0, 10.0), calibrate=False)
        cells = tab.cells_of(table, decide_study(table))
        known = Studied("window", [DataFacts("sines", "sequences", (1000, None, 30))], ["TCN"], "2026-01-01")
        assert list(known.facts(table, cells)) == [
            ("Data", "sines: sequences; 1,000 for training, 30 for tests"),
            ("Model", "TCN"),
            ("Varies: loss.alpha", "1.0, 10.0"),
            ("Models", "6 models in 2 cells; seeds 0 to 2"),
            ("Measured", "2026-01-01"),
        ]

    def test_many_values_are_cut_and_single_seeds_are_named(self):
        table = synthetic.study(alphas=tuple(range(1, 12)), n_seeds=1, calibrate=False)
        facts = dict(Studied().facts(table, []))
        assert facts["Varies: loss.alpha"].endswith("8, and 3 more") and facts["Models"].endswith("; seed 0")
        assert dict(Studied().facts(table.assign(seed=table["cell"].astype(int) * 2), []))[
            "Models"
        ].startswith("11 models in 0 cells; seeds 2, 4,")

    def test_nothing_known_and_nothing_measured(self):
        assert list(Studied().facts(pd.DataFrame(), [])) == []

    def test_the_page_speaks_in_these_words(self):
        table = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
        pages = {
            noun: page_of(study="s", table=table, verdict=decide_study(table), studied=Studied(noun))
            .html.partition('<section aria-labelledby="how-to-read">')[2]
            .partition("</section>")[0]
            for noun in ("image", "row")
        }
        assert "the mixture of the posteriors of all\nimages" in pages["image"]
        assert "the mixture of the posteriors of all\nrows" in pages["row"] and "image" not in pages["row"]


def test_absences_are_grouped_by_their_cause():
    table = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
    skipped = {"kid of gmm": "too few rows", "c_t": "no validation part", "kid of prior": "too few rows"}
    page = page_of(study="s", table=table, verdict=decide_study(table), skipped=skipped).html
    assert "<dt>kid of gmm, kid of prior</dt><dd>too few rows</dd>" in page
    assert page.count("too few rows") == 1 and "<dt>c_t</dt><dd>no validation part</dd>" in page


class TestMatrix:
    def cells(self):
        table = synthetic.study(alphas=(1.0, 10.0), calibrate=False)
        previews = synthetic.previews(table)
        for model in previews:
            previews[model]["real"] = np.full((64, 16, 16, 1), 200, np.uint8)
        cells = tab.cells_of(table, decide_study(table))
        return [(cell, model_name(cell)) for cell in cells], previews

    def test_real_ones_on_top_and_a_column_a_cell(self):
        models, previews = self.cells()
        matrix = matrix_of(models, previews)
        assert next(iter(matrix.rows)) == "real" and set(matrix.rows) == {"real", *synthetic.FID}
        assert matrix.cells == ("loss.alpha=1", "loss.alpha=10")
        rows = {name: (is_sampler, row) for name, is_sampler, row in matrix_rows(matrix)}
        assert rows["real"][0] is False and rows["gmm"][0] is True
        assert [one.size for one in rows["gmm"][1]] == [(33, 33)] * 2

    def test_what_a_cell_lacks_is_left_open(self):
        models, previews = self.cells()
        del previews[models[1][1]]["gmm"]
        rows = {name: row for name, _, row in matrix_rows(matrix_of(models, previews))}
        assert rows["gmm"][0] is not None and rows["gmm"][1] is None
        assert figure_of(matrix_of(models, previews)).png.startswith(b"\x89PNG")

    @pytest.mark.parametrize("name", ["posterior_heldout", "a_sampler_with_a_name_as_long_as_this"])
    @pytest.mark.parametrize("cell", ["a=1", "data.some_long_key=a_long_value, loss.alpha=100"])
    def test_no_name_is_cut(self, name, cell):
        image = np.zeros((4, 8, 8, 1), np.uint8)
        figure = figure_of(Matrix((cell, "b"), {name: (image, image)}, frozenset({name}))).figure
        figure.canvas.draw()
        (axis,) = figure.axes
        for text in (*axis.get_yticklabels(), *axis.get_xticklabels()):
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.y1 <= figure.bbox.height, text.get_text()

    def test_no_images_no_matrix(self):
        models, _ = self.cells()
        assert matrix_of(models, {}) is None and matrix_of([], {}) is None

    def test_equal_images_give_equal_files(self):
        models, previews = self.cells()
        one, two = (figure_of(matrix_of(models, previews)) for _ in range(2))
        assert one.png == two.png and one.pdf == two.pdf


class TestNeighbours:
    def test_planted_copies_are_found(self):
        rng = np.random.default_rng(0)
        training = rng.integers(0, 256, (9000, 4, 4, 3), dtype=np.uint8)
        planted = training[[8999, 17, 4096, 5]]
        noisy = np.clip(planted.astype(int) + rng.integers(-9, 10, planted.shape), 0, 255).astype(np.uint8)
        found = neighbours(noisy, training)
        assert (found.nearest == planted).all() and (found.samples == noisy).all()

    def test_the_nearest_of_a_loop(self):
        rng = np.random.default_rng(1)
        training, samples = (rng.integers(0, 256, (n, 3, 3, 1), dtype=np.uint8) for n in (50, 4))
        for sample, nearest in zip(samples, neighbours(samples, training).nearest, strict=True):
            distances = [((sample.astype(int) - one) ** 2).sum() for one in training]
            assert (nearest == training[int(np.argmin(distances))]).all()

    @pytest.mark.parametrize(
        "shapes",
        [
            ((2, 3, 3, 1), (5, 4, 4, 1)),
            ((0, 3, 3, 1), (5, 3, 3, 1)),
            ((2, 3, 3, 1), (0, 3, 3, 1)),
        ],
    )
    def test_other_shapes_or_nothing(self, shapes):
        with pytest.raises(ValueError, match="expected images of one shape"):
            neighbours(*(np.zeros(shape, np.uint8) for shape in shapes))

    def test_they_stand_beside_labels_only(self):
        table = synthetic.study(alphas=(1.0,), calibrate=False)
        cells = tab.cells_of(table, decide_study(table))
        labelled = set(cells[0].verdict.labels)
        assert labelled and "gmm" not in labelled
        asked = []

        def training(model):
            asked.append(model)
            return np.zeros((5, 16, 16, 1), np.uint8)

        ((_, pictures),) = copied(cells, synthetic.previews(table), training)
        assert {one.sampler for one in pictures} == labelled and set(asked) == {model_name(cells[0])}
        assert all("reconstructive" in one.caption for one in pictures)
        assert list(copied(cells, synthetic.previews(table), lambda model: None)) == []


class TestLatentSpace:
    def rows(self):
        table = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
        return table[table["seed"] == 0]

    def test_units_with_the_largest_rate_first(self):
        views = list(unit_views(self.rows(), synthetic.aggregate(decoded=True), "t"))
        assert [view.unit for view in views] == list(range(synthetic.N_UNITS))
        assert views[0].rate[1] == 1 and max(view.kl[1] for view in views) == 1
        assert views[3].rate[1] == pytest.approx(views[3].rate[0] / views[0].rate[0])
        assert [view.unit for view in views if view.traversal] == [0, 2] and all(v.marginal for v in views)

    def test_what_is_not_known_is_absent(self):
        assert plane_view(synthetic.aggregate(), "t") is None
        bare = list(unit_views(self.rows(), None, "t"))
        assert len(bare) == synthetic.N_UNITS and not any(view.marginal or view.traversal for view in bare)
        assert list(unit_views(self.rows()[lambda rows: rows["measure"] == "fid"], None, "t")) == []

    def test_holes_are_where_q_is_missing(self):
        data = synthetic.aggregate(decoded=True)
        view = plane_view(data, "t")
        # a ring at 1.5 with a width of 0.3: its density falls to a tenth of the prior's at two radii
        radius = np.linspace(0, 2.448, 20001)
        ring = np.exp(-0.5 * ((radius - 1.5) / 0.3) ** 2)
        ring /= 2 * np.pi * np.trapezoid(ring * radius, radius) * (1 + 2e-3)
        weight = np.exp(-0.5 * radius**2) * radius
        share = weight[ring < 0.1 * np.exp(-0.5 * radius**2) / (2 * np.pi)].sum() / weight.sum()
        assert view.hole_share == pytest.approx(share, abs=0.02) and 0.1 < share < 0.9
        whole = plane_view(replace(data, plane=replace(data.plane, density=_normal(data.plane.axis))), "t")
        assert whole.hole_share == 0, "q = p has no holes"

    def test_holes_are_those_of_the_models_own_prior_where_it_has_one(self):
        data = synthetic.aggregate(decoded=True)
        axis = data.plane.axis
        standard = plane_view(replace(data, plane=replace(data.plane, prior=_normal(axis))), "t")
        # the same prior given as its density: the same holes, but for the grid
        assert standard.hole_share == pytest.approx(plane_view(data, "t").hole_share, abs=0.03)
        assert standard.prior == "the model's own prior" and "own prior" in standard.field.alt
        own = plane_view(replace(data, plane=replace(data.plane, prior=data.plane.density)), "t")
        assert own.hole_share == 0, "q is the model's prior"
        assert own.field.content != standard.field.content
        flat = plane_view(
            replace(data, plane=replace(data.plane, prior=np.ones_like(data.plane.density))), "t"
        )
        assert 0 <= flat.hole_share <= 1 and flat.field.content.startswith(b"\x89PNG")

    def test_a_density_that_was_not_decoded(self):
        data = synthetic.aggregate(decoded=True)
        view = plane_view(replace(data, plane=replace(data.plane, shown=None)), "t")
        assert view.sprite is None and view.field.content.startswith(b"\x89PNG")

    def test_a_marginal_is_as_high_as_it_is(self):
        assert normal_path().startswith("M0,70.0 ") and normal_path().endswith(" 240,70.0")
        middle = normal_path()[1:].split(" ")[30]
        assert middle == f"120,{70 * (1 - 0.39894 / 0.8):.1f}"
        assert svg_path(np.full(3, 9.0)) == "M0,0.0 120,0.0 240,0.0", "what is higher is cut"


def _normal(axis):
    return np.exp(-0.5 * (axis[:, None] ** 2 + axis**2)) / (2 * np.pi)


class TestLatex:
    def test_a_table_with_rules(self):
        table = synthetic.study(alphas=(1.0, 10.0), calibrate=False)
        text = latex_table(table, verdict=decide_study(table), measures=["fid", "coverage"])
        lines = text.splitlines()
        assert lines[1] == r"\begin{tabular}{llrr}" and lines[-1] == r"\end{tabular}"
        assert r"sampler & FID $\downarrow$ (classifier) & coverage $\uparrow$ \\" in lines[3]
        rows = [line for line in lines if line.endswith(r" \\")]
        assert len(rows) == 1 + 2 * len(synthetic.FID) and all(row.count(" & ") == 3 for row in rows)
        assert lines.count(r"\midrule") == 2 and r"literal\_log\_var (specimen)" in text
        assert r"$\pm$" in text and not set(text) & set("±↓↑_") - {"_"}

    def test_marks_are_escaped(self):
        assert latex("a_b & 50 % #1 {x} $ \\ ^ ~") == (
            r"a\_b \& 50 \% \#1 \{x\} \$ \textbackslash{} \textasciicircum{} \textasciitilde{}"
        )

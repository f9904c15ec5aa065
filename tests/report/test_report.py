"""The report: what the tables say, that the page is one safe file, that equal inputs give equal bytes."""

import base64
import io
import re

import numpy as np
import pytest
import synthetic_study as synthetic
from PIL import Image

from priorgap.report import charts, page_of, readme_table, write_page
from priorgap.report import figures as fig
from priorgap.report import tables as tab
from priorgap.report.aggregate import AggregateFigureData
from priorgap.report.pictures import file_name
from priorgap.report.tiles import light_tile, sample_tile
from priorgap.verdict import decide_study

HOSTILE = "<script>alert('x')</script>"


def write(directory, table, **more):
    return write_page(page_of(study="planted", table=table, verdict=decide_study(table), **more), directory)


@pytest.fixture(scope="module")
def table():
    whole = synthetic.study(alphas=(1.0, 10.0))
    return whole[~whole["measure"].isin(["kid", "precision", "recall", "density"])]


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    directory = tmp_path_factory.mktemp("report")
    previews = synthetic.previews(table)
    return write(
        directory,
        table,
        previews=previews,
        aggregates={model: synthetic.aggregate() for model in previews},
        provenance={"versions": {"torch": "9.9"}, "note": HOSTILE},
        config_text=f"loss: {HOSTILE}",
        skipped={"inception": f"no weights {HOSTILE}"},
    )


def own_text(page):
    """Return a page without the script that draws its charts, which is a library's."""
    return page.replace(charts.script(), "")


class TestPage:
    def test_loads_nothing(self, written):
        page = own_text(written.read_text())
        sources = re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']([^"']*)""", page)
        outside = [source for source in sources if not source.startswith("#")]
        assert outside and all(source.startswith("data:image/png;base64,") for source in outside)
        page = page.replace("https://vega.github.io/schema/", "")  # a name, which nothing fetches
        assert not re.search(r"<(link|iframe|object|embed)\b|<script [^>]|@import|url\(|https?://", page)

    def test_readable_on_a_phone(self, written):
        page = own_text(written.read_text())
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
        assert page.count("<table") == page.count('<div class="scroll"')

    def test_every_picture_has_a_description(self, written):
        images = re.findall(r"<img [^>]*>", own_text(written.read_text()))
        assert len(images) > 10
        assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)

    def test_text_from_outside_is_escaped(self, written):
        page = written.read_text()
        assert HOSTILE not in page
        assert page.count("&lt;script&gt;") == 3

    def test_hostile_names_in_the_table(self, tmp_path):
        data = synthetic.study(alphas=(1.0,), n_seeds=2, calibrate=False)
        data = data[data["measure"] == "fid"].copy()
        data["sampler"] = data["sampler"].replace("gmm", HOSTILE)
        data["model"] = "../../" + data["model"]
        previews = {m: {HOSTILE: np.zeros((4, 8, 8, 1), np.uint8)} for m in data["model"].unique()}
        path = write(tmp_path / "inner", data, previews=previews)
        assert HOSTILE not in path.read_text() and "&lt;script&gt;" in path.read_text()
        assert {p.name for p in tmp_path.iterdir()} == {"inner"}, "no name may leave the directory"

    def test_verdict_and_reasons_are_shown(self, written, table):
        page = written.read_text()
        assert "Provisional (3 seeds a cell)" in page and ">provisional<" in page
        assert "no weights" in page and "<dt>versions.torch</dt><dd>9.9</dd>" in page
        for cell in decide_study(table).cells:
            assert cell.text.split(":")[0] in page

    def test_three_tiers(self, written, table):
        page, verdict = written.read_text(), decide_study(table)
        assert "<b>Do this.</b> Do not sample the prior in both cells" in page
        assert (
            page.index("<b>Do this.</b>") < page.index("<b>How sure.</b>") < page.index("What this rests on")
        )
        assert "health warning" not in page and not verdict.health

    def test_health_comes_before_any_winner(self, tmp_path, table):
        sick = table.copy()
        sick.loc[sick["measure"].eq("rate") & sick["unit"].eq(""), "value"] = 0.001
        page = write(tmp_path, sick).read_text()
        assert "No sampler can be recommended in any of 2 cells. Train the model first" in page
        assert ">recommended<" not in page and ">winner<" not in page and "stop: see health" in page

    def test_equal_inputs_give_equal_bytes(self, tmp_path):
        data = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
        previews = synthetic.previews(data)
        aggregates = {model: synthetic.aggregate(decoded=True) for model in previews}
        one, two = (
            write(tmp_path / name, data, previews=previews, aggregates=aggregates) for name in ("one", "two")
        )
        assert one.read_bytes() == two.read_bytes()
        pictures = list((one.parent / "figures").iterdir())
        drawn = {path.name for path in pictures if path.suffix == ".pdf"}
        assert drawn == {"bracket.pdf", "samples-matrix.pdf"}
        assert len(pictures) == len(synthetic.FID) + 5 + len(drawn)
        for picture in pictures:
            assert (two.parent / "figures" / picture.name).read_bytes() == picture.read_bytes()

    def test_figures_lie_beside_the_page(self, written):
        names = {picture.name for picture in (written.parent / "figures").iterdir()}
        assert {"fid-by-loss.alpha.png", "bracket.png", "coverage-by-loss.alpha.png"} <= names
        model = "alpha=1,seed=0-0000"
        parts = ("samples", "kl_per_unit", "aggregate")
        assert {f"{part}-{model}.png" for part in parts} | {f"samples-{model}-gmm.png"} <= names
        for file in (written.parent / "figures").glob("*.pdf"):
            content = file.read_bytes()
            assert (
                content.startswith(b"%PDF")
                and b"CreationDate" not in content
                and (file.with_suffix(".png")).is_file()
            )
        for picture in (written.parent / "figures").glob("*.png"):
            image = Image.open(picture)
            assert (
                image.format == "PNG" and "Software" not in image.info and "Creation Time" not in image.info
            )

    def test_one_model_without_pictures(self, tmp_path):
        data = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
        page = write(tmp_path, data[data["unit"] == ""]).read_text()
        assert "this trained model only" in page and "no winner named" in page
        assert "Across the study" in page, "the bracket needs no sweep"
        assert not list((tmp_path / "figures").glob("samples*"))

    def test_nothing_measured(self, tmp_path):
        data = synthetic.study(alphas=(1.0,), n_seeds=2, calibrate=False)
        page = write(tmp_path, data[data["measure"] == "rate"]).read_text()
        assert "Not measured." in page and "fid was not computed" in page

    def test_many_cells_keep_the_page_small(self, tmp_path):
        data = synthetic.study(alphas=tuple(range(1, 11)), n_seeds=1, calibrate=False)
        data = data[data["measure"].isin(["fid"])]
        previews = {m: {"gmm": np.zeros((4, 8, 8, 1), np.uint8)} for m in data["model"].unique()}
        page = write(tmp_path, data, previews=previews).read_text()
        assert page.count("Samples from gmm") == 8 and "2 more cells" in page
        assert len(list((tmp_path / "figures").glob("samples-*-gmm.png"))) == 10


@pytest.mark.parametrize("name", ["../../etc/passwd", ".hidden", "a/b", "a b\n", ""])
def test_file_names_stay_in_their_directory(name):
    safe = file_name(name)
    assert safe and "/" not in safe and not safe.startswith(".") and not re.search(r"\s", safe)


def cell_of(table, index=0):
    return tab.cells_of(table, decide_study(table))[index]


@pytest.fixture(scope="module")
def cells(table):
    return tab.cells_of(table, decide_study(table))


class TestTables:
    def test_mean_and_spread_over_seeds(self, table, cells):
        quality = tab.quality_table(cells[0])
        assert quality.header[:2] == ["sampler", "FID ↓ (classifier)"]
        row = next(row for row in quality.rows if row[0] == "gmm")
        own = table[(table["loss.alpha"] == 1) & (table["sampler"] == "gmm") & (table["measure"] == "fid")]
        mean, spread = (float(part) for part in row[1].split(" ± "))
        assert mean == pytest.approx(own["value"].mean(), abs=0.05)
        assert spread == pytest.approx(own["value"].std(), abs=0.05)

    def test_candidates_first_by_rank_then_controls_then_specimens(self, table, cells):
        names = [row[0] for row in tab.quality_table(cells[0]).rows]
        assert names[0] in {"posterior", "gmm"} and names[-2:] == ["posterior_heldout", "literal_log_var"]
        assert "prior (calibrated)" in names

    def test_floors_and_sizes_are_notes(self, table, cells):
        notes = " ".join(tab.quality_table(cells[0]).notes)
        assert "The floor that a sampler's FID is held against" in notes and "no floor of its own" in notes
        assert "real images against real images (classifier): 2.1" in notes
        assert "1,000 samples; 360 real test items" in notes and "3 seeds" in notes

    def test_marks(self, table, cells):
        cell = cells[1]
        assert "reconstructive" in cell.marks("posterior")
        assert cell.marks("posterior_heldout") == ["control"]
        assert cell.marks("literal_log_var") == ["specimen"]
        winner = cell.verdict.winner
        assert winner is None or "winner" in cell.marks(winner)
        recommended = cell.verdict.recommended
        assert recommended == "gmm" and cell.marks("gmm")[0] == "recommended"
        assert cell.traits("posterior") == "reconstructs training images, needs the training data to draw"
        assert cell.traits("gmm") == "" and cell.traits("prior") == "the same whatever the encoder"

    def test_two_spaces_are_two_columns(self, table):
        both = table.copy()
        extra = both[both["measure"] == "fid"].assign(space="pixels")
        both = tab.pd.concat([both, extra], ignore_index=True)
        cells = tab.cells_of(both, decide_study(both, space="classifier"))
        assert {"FID ↓ (classifier)", "FID ↓ (pixels)"} <= set(tab.quality_table(cells[0]).header)

    def test_accuracy_has_its_ceiling_and_label_source(self, table, cells):
        rows = tab.accuracy_table(cells[0]).rows
        assert ["posterior", "source", "0.93", "–"] in rows
        assert ["ceiling: real→real", "labeller", "–", "0.97"] in rows
        judge = table[table["measure"] == "accuracy_real_to_real"].assign(label_source="", value=0.99)
        both = tab.pd.concat([table, judge], ignore_index=True)
        assert ["ceiling: real→real", "–", "0.99", "–"] in tab.accuracy_table(cell_of(both)).rows

    def test_bracket_and_latent_measures(self, table, cells):
        latent = tab.model_table(cells)
        assert latent.header == ["measure", "loss.alpha=1", "loss.alpha=10"]
        assert re.fullmatch(r"0\.439 to 1\.54", latent.rows[-1][1])

    def test_copying_says_the_label(self, table, cells):
        copying = tab.copying_table(cells[0])
        row = next(row for row in copying.rows if row[0] == "posterior")
        assert row[-1] == "reconstructive" and copying.header[1:3] == [
            "near-copy excess (0)",
            "train share (½)",
        ]
        assert "memorisation AUC (½) of the model's posterior (pixels): 0.503." in copying.notes

    def test_an_unknown_null_is_said(self, table):
        data = table.copy()
        data.loc[data["measure"] == "memorisation_auc", "unit"] = "null unknown"
        notes = " ".join(tab.copying_table(cell_of(data)).notes)
        assert "0.503" in notes and "½ is not what an honest model has" in notes

    def test_absent_is_absent(self, table):
        cell = cell_of(table[table["measure"] == "fid"])
        assert tab.copying_table(cell) is None and tab.accuracy_table(cell) is None
        assert tab.model_table([cell]) is None

    @pytest.mark.parametrize(
        ("values", "errors", "text"),
        [
            ([], [], "–"),
            ([20.43, 20.43], [], "20.4"),
            ([20.0, 21.0], [], "20.5 ± 0.7"),
            ([0.5], [0.012], "0.500 ± 0.012 (s.e.)"),
            ([0.5], [None], "0.5"),
            ([-0.0002, 0.0001], [], "-0.000050 ± 0.000212"),
            ([1200.0, 1300.0], [], "1,250 ± 71"),
        ],
    )
    def test_numbers_as_text(self, values, errors, text):
        assert tab.mean_and_spread(values, errors) == text


class TestReadmeTable:
    def test_markdown(self, table):
        lines = readme_table(table, measures=("fid", "coverage")).splitlines()
        assert lines[0] == "| cell | sampler | FID ↓ (classifier) | coverage ↑ |"
        assert lines[1] == "| --- | --- | ---: | ---: |"
        assert len(lines) == 2 + 2 * (len(synthetic.FID) + 1)
        assert all(line.count("|") == 5 for line in lines)

    def test_best_first_and_what_each_is(self):
        data = synthetic.study(alphas=(1.0,), calibrate=False).drop(columns="loss.alpha")
        alone = [line.split(" | ")[0] for line in readme_table(data).splitlines()[2:]]
        decided = readme_table(data, verdict=decide_study(data)).splitlines()[2:]
        names = [line.split(" | ")[0] for line in decided]
        assert names[0] == "| `posterior` (reconstructive)" == alone[0]
        assert names[1] == "| `gmm` (recommended)" and alone[1] == "| `gmm`"
        assert (
            names[-2:] == ["| `posterior_heldout` (control)", "| `literal_log_var` (specimen)"] == alone[-2:]
        )

    def test_one_cell_needs_no_cell_column(self):
        data = synthetic.study(alphas=(1.0,), calibrate=False).drop(columns="loss.alpha")
        assert readme_table(data).startswith("| sampler | FID")

    def test_a_pipe_in_a_name_does_not_break_the_table(self):
        data = synthetic.study(alphas=(1.0,), calibrate=False).drop(columns="loss.alpha")
        data["sampler"] = data["sampler"].replace("gmm", "a|b")
        assert len({line.count("|") for line in readme_table(data).splitlines()}) == 1


class TestFigures:
    def test_numeric_keys(self, table):
        data = table.assign(**{"data": "mnist", "trainer.flag": True, "fixed": 3})
        data.loc[data.index[:5], "data"] = "digits"
        assert fig.numeric_keys(data) == ["loss.alpha"]

    def test_no_curve_for_one_value(self):
        data = synthetic.study(alphas=(1.0,), calibrate=False)
        cells = tab.cells_of(data, decide_study(data))
        assert fig.measure_against(cells, "fid", "classifier", "loss.alpha", "FID") is None

    def test_panels_by_the_other_keys(self, table):
        data = tab.pd.concat(
            [table.assign(data="a"), table.assign(data="b", cell="b" + table["cell"])], ignore_index=True
        )
        cells = tab.cells_of(data, decide_study(data))
        one, two = (
            Image.open(io.BytesIO(fig.measure_against(c, "fid", "classifier", "loss.alpha", "FID").png))
            for c in ([cell for cell in cells if "data=a" in cell.name], cells)
        )
        assert two.height > 1.5 * one.height and two.width == one.width

    @pytest.mark.filterwarnings("error")
    def test_long_names_leave_room_for_the_axes(self, table):
        """Where many keys vary, a cell's name is longer than a page is wide: matplotlib then gives up its layout."""
        data = table.assign(**{f"prior.some_long_key_{i}": 1.5 + i for i in range(12)})
        half = data.assign(
            **{f"prior.some_long_key_{i}": 2.5 + i for i in range(12)}, cell="b" + data["cell"]
        )
        data = tab.pd.concat([data, half], ignore_index=True)
        cells = tab.cells_of(data, decide_study(data))
        assert max(len(cell.name) for cell in cells) > 200
        for picture in (
            fig.brackets(cells).png,
            fig.measure_against(cells, "fid", "classifier", "loss.alpha", "FID").png,
            fig.kl_per_unit(cells[0].rows[cells[0].rows["seed"] == 0], cells[0].name),
        ):
            assert picture.startswith(b"\x89PNG")

    def test_points_are_means_of_seeds(self, table, cells):
        points = fig._points(cells, "fid", "classifier", "loss.alpha", "")
        point = points[(points["sampler"] == "gmm") & (points["x"] == 10)].iloc[0]
        own = table[(table["loss.alpha"] == 10) & (table["sampler"] == "gmm") & (table["measure"] == "fid")]
        assert point["mean"] == pytest.approx(own["value"].mean())
        assert point["spread"] == pytest.approx(own["value"].std())

    def test_per_unit_needs_both_measures(self, table):
        rows = table[table["seed"] == 0]
        assert fig.kl_per_unit(rows[rows["measure"] != "marginal_kl"], "t") is None
        values = fig.per_unit(rows[rows["cell"] == "1"], "rate")
        assert list(values.index) == list(range(synthetic.N_UNITS)), "units are numbers, not text"

    def test_more_samplers_than_colours(self):
        names = [f"s{i:02d}" for i in range(12)]
        assert len({fig.style(name, names) for name in names[:8]}) == 8
        assert fig.style("prior", names) == fig.style("prior", [])

    def test_new_samplers_do_not_take_a_used_colour(self):
        names = ["prior", "gmm", "my_sampler"]
        assert len({fig.style(name, names)[0] for name in names}) == 3

    def test_aggregate_without_classes_or_measured_units(self, table):
        data = synthetic.aggregate()
        bare = AggregateFigureData(grid=data.grid, density=data.density[:1], z=data.z)
        assert fig.aggregate_posterior(bare, table[table["measure"] == "fid"], "t").startswith(b"\x89PNG")


class TestTiles:
    def test_pixels_are_kept_whole(self):
        images = np.arange(4 * 2 * 2, dtype=np.uint8).reshape(4, 2, 2, 1) * 10
        tile = np.asarray(Image.open(io.BytesIO(sample_tile(images))))
        factor = tile.shape[1] // 11  # four images of 2 px, three gaps
        assert tile.shape == (2 * factor, 11 * factor)
        small = tile[::factor, ::factor]
        assert (small[:, 0:2] == images[0, ..., 0]).all() and (small[:, 9:11] == images[3, ..., 0]).all()
        assert (small[:, 2] == 255).all()

    def test_colour_and_more_images_than_places(self):
        images = np.zeros((100, 32, 32, 3), np.uint8)
        assert Image.open(io.BytesIO(sample_tile(images))).size == (263, 263)

    def test_large_images_are_webp_in_the_page_and_png_beside_it(self, tmp_path):
        data = synthetic.study(alphas=(1.0,), n_seeds=1, calibrate=False)
        noise = np.random.default_rng(0).integers(0, 256, (64, 24, 24, 3), dtype=np.uint8)
        previews = {model: {"gmm": noise} for model in data["model"].unique()}
        path = write(tmp_path, data, previews=previews)
        (shown,) = re.findall(r'src="data:image/webp;base64,([^"]*)" alt="Samples from gmm', path.read_text())
        (file,) = (tmp_path / "figures").glob("samples-*-gmm.png")
        assert Image.open(io.BytesIO(base64.b64decode(shown))).size == (149, 149), "6 × 6"
        exact = np.asarray(Image.open(file))
        assert exact.shape == (199, 199, 3) and (exact[:24, :24] == noise[0]).all(), "8 × 8, as they are"
        assert light_tile(noise[:, :11, :11]) == b"", "small images are as many in the page"
        medium = Image.open(io.BytesIO(light_tile(noise[:, :16, :16])))
        assert medium.size == (118, 118), "7 × 7"

    def test_a_finished_picture_is_passed_through(self, tmp_path):
        path = tmp_path / "grid.png"
        Image.new("L", (4, 4)).save(path)
        assert sample_tile(path) == path.read_bytes()

    @pytest.mark.parametrize(
        "images",
        [
            np.zeros((4, 8, 8, 1)),
            np.zeros((4, 8, 8), np.uint8),
            np.zeros((4, 1, 8, 8), np.uint8),
            np.zeros((0, 8, 8, 1), np.uint8),
        ],
    )
    def test_bad_previews(self, images):
        with pytest.raises(ValueError, match=r"^preview: expected uint8 images"):
            sample_tile(images)

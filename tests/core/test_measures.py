"""The catalogue's entries: headings, what is refused, and that a plugin's entries survive JSON."""

from dataclasses import replace

import pytest

from priorgap.core.catalogue import BUILTIN, catalogued
from priorgap.core.measures import Measure, entry, united

OURS = Measure("speed", "speed", "How fast.", "quality", direction="higher", rankable=True)


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("fid", "FID ↓"),
        ("coverage", "coverage ↑"),
        ("train_share", "train share (½)"),
        ("hole_mass", "prior mass in holes, H(1 %) (0.01)"),
        ("rate", "rate R, nat"),
        ("elbo", "ELBO, nat ↑"),
    ],
)
def test_headings(name: str, heading: str) -> None:
    assert BUILTIN[name].heading == heading


def test_entries_survive_json() -> None:
    for measure in (*BUILTIN.values(), OURS):
        assert Measure.from_json(measure.to_json()) == measure
        assert hash(measure) == hash(Measure.from_json(measure.to_json()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "up"}, r"^measure speed: direction='up': expected one of lower, higher, neither$"),
        ({"section": "nowhere"}, r"^measure speed: section='nowhere': expected one of quality, "),
        ({"scale": "raw"}, r"^measure speed: scale='raw': expected one of log, identity$"),
        ({"name": "a b"}, r"^measure: name='a b': expected letters"),
        ({"sentence": " "}, r"^measure speed: sentence=' ': expected text$"),
        ({"rankable": 1}, r"^measure speed: rankable=1: expected true or false$"),
        ({"null": "0"}, r"^measure speed: range=.*null='0': expected numbers"),
        ({"direction": "neither"}, r"^measure speed: rankable without a direction"),
    ],
)
def test_bad_entries_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(OURS, **change)


def test_a_damaged_record_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^measure speed: damaged entry"):
        Measure.from_json(OURS.to_json() | {"colour": "red"})
    with pytest.raises(ValueError, match=r"^measure speed: damaged entry"):
        Measure.from_json({k: v for k, v in OURS.to_json().items() if k != "range"})


def test_a_plugin_adds_entries_and_cannot_change_ours() -> None:
    found = united(BUILTIN.values(), [OURS])
    assert entry(found, "speed") is OURS and list(found)[:-1] == list(BUILTIN)
    with pytest.raises(ValueError, match=r"^measure fid: two entries that differ"):
        united(BUILTIN.values(), [replace(BUILTIN["fid"], direction="higher")])
    assert united(BUILTIN.values(), catalogued("fid")) == BUILTIN
    with pytest.raises(ValueError, match=r"^measure speed: in no catalogue"):
        entry(BUILTIN, "speed")

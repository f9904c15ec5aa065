"""What an observation is: one place knows, for each kind that data are stored under."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

import priorgap
from priorgap.data.splits import Split
from priorgap.modalities import IMAGES, SEQUENCES, VECTORS, GapLayout, Kind, Tables, modality_of
from priorgap.tables.layout import Column, TableLayout

LAYOUT = TableLayout(
    (Column("a", "continuous", 0, 1), Column("b", "categorical", 1, 3, categories=("u", "v")))
)
CASES = {
    IMAGES: (torch.rand(3, 1, 5, 4), "grey images of 5 x 4"),
    VECTORS: (torch.randn(3, 7), "vectors of 7 values"),
    SEQUENCES: (torch.randn(3, 6, 2), "sequences of 6 steps of 2 values"),
    modality_of("float_sequence", gaps=GapLayout(2, (0, 1))): (
        torch.randn(3, 6, 4),
        "sequences of 6 steps of 2 values and 2 missing-indicators",
    ),
    Tables(LAYOUT): (torch.randn(3, 3), "rows of 2 columns (1 continuous, 1 categorical)"),
}


@pytest.mark.parametrize("modality", CASES, ids=lambda modality: modality.kind)
def test_what_a_decoder_gives_is_stored_and_read_back(modality):
    x, words = CASES[modality]
    split = Split(modality.stored(x), None, modality.kind, table=modality.table, gaps=modality.gaps)
    assert split.modality == modality and modality.described(split.shape) == words
    assert split.x.dtype == modality.dtype and split.x.ndim == modality.n_axes
    # images are rounded to 256 levels, all else is exact
    assert float((split.floats() - x).abs().max()) <= (0.5 / 255 + 1e-6 if modality is IMAGES else 0)


def test_every_stored_kind_has_a_modality():
    layouts = {Tables.kind: LAYOUT}
    assert {modality_of(kind, layouts.get(kind)).kind for kind in get_args(Kind)} == set(get_args(Kind))
    with pytest.raises(ValueError, match="kind='table': expected the layout"):
        modality_of("table")
    with pytest.raises(ValueError, match="kind='float_vector': expected no layout"):
        modality_of("float_vector", LAYOUT)
    with pytest.raises(ValueError, match="kind='video': expected one of uint8_image"):
        modality_of("video")


@pytest.mark.parametrize("modality", CASES, ids=lambda modality: modality.kind)
def test_rows_of_another_kind_are_refused(modality):
    for other in CASES:
        # rows of tables are vectors with a layout
        if (other.n_axes, other.dtype) != (modality.n_axes, modality.dtype):
            with pytest.raises(ValueError, match="expected"):
                Split(
                    other.stored(CASES[other][0]),
                    None,
                    modality.kind,
                    table=modality.table,
                    gaps=modality.gaps,
                )


def test_nothing_else_asks_for_a_kind_by_its_name():
    names = "|".join(get_args(Kind))
    asks = re.compile(rf"[!=]= *[\"'](?:{names})[\"']|[\"'](?:{names})[\"'] *[!=]=")
    root = Path(priorgap.__file__).parent
    found = [
        f"{file.relative_to(root)}: {line.strip()}"
        for file in sorted(root.rglob("*.py"))
        if file.parent.name != "modalities"
        for line in file.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    ]
    assert found == []
    assert asks.search('if split.kind == "uint8_image":') and asks.search("'float_vector' != kind")

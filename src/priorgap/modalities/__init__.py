"""Modalities: what an observation is, one file each, all with one protocol; no other code asks for a kind by name."""

from dataclasses import replace

from priorgap.modalities.gaps import GapLayout
from priorgap.modalities.images import IMAGES
from priorgap.modalities.protocol import Kind, Modality
from priorgap.modalities.tables import Tables
from priorgap.modalities.values import SEQUENCES, VECTORS
from priorgap.tables.layout import TableLayout

__all__ = ["IMAGES", "SEQUENCES", "VECTORS", "GapLayout", "Kind", "Modality", "Tables", "modality_of"]

_KNOWN: dict[str, Modality] = {one.kind: one for one in (IMAGES, VECTORS, SEQUENCES)}


def modality_of(kind: str, table: TableLayout | None = None, gaps: GapLayout | None = None) -> Modality:
    """Return the modality of a stored kind; tables need a layout, and sequences may have a layout of gaps.

    Raises:
        ValueError: no modality has this name, or a layout is missing or not allowed.
    """
    if gaps is not None and kind != SEQUENCES.kind:
        raise ValueError(f"kind={kind!r}: expected no layout of missing values, which sequences have")
    if kind == Tables.kind:
        if table is None:
            raise ValueError(f"kind={kind!r}: expected the layout of its columns with it")
        return Tables(table)
    if kind not in _KNOWN:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join([*_KNOWN, Tables.kind])}")
    if table is not None:
        raise ValueError(f"kind={kind!r}: expected no layout of columns, which tables have")
    return _KNOWN[kind] if gaps is None else replace(SEQUENCES, gaps=gaps)

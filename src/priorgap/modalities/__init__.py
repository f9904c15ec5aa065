"""What an observation is: one file a modality, one protocol; nothing else asks for the kind by its name."""

from priorgap.modalities.images import IMAGES
from priorgap.modalities.protocol import Kind, Modality
from priorgap.modalities.values import SEQUENCES, VECTORS

__all__ = ["IMAGES", "SEQUENCES", "VECTORS", "Kind", "Modality", "modality_of"]

_KNOWN: dict[str, Modality] = {one.kind: one for one in (IMAGES, VECTORS, SEQUENCES)}


def modality_of(kind: str) -> Modality:
    """Return the modality of a stored kind.

    Raises:
        ValueError: there is none of that name.
    """
    if kind not in _KNOWN:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(_KNOWN)}")
    return _KNOWN[kind]

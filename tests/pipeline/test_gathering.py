"""Which keys of a study tell its cells apart."""

from priorgap.pipeline.gathering import _follows


def flat(name, file, drop):
    return {"data.name": name, "data.source.file": file, "data.source.drop": drop}


def test_what_follows_the_data_is_no_column():
    flats = [
        flat("wage", "Wage.csv", "[a]"),
        flat("credit", "Default.csv", "[]"),
        flat("wage", "Wage.csv", "[b]"),
    ]
    assert _follows("data.source.file", "data.name", flats)
    # it differs within one data set
    assert not _follows("data.source.drop", "data.name", flats)
    # with one data set there is nothing to follow
    assert not _follows("data.source.file", "data.name", [flat("wage", "x", ""), flat("wage", "x", "")])

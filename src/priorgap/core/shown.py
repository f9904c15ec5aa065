"""Names in reports that are not samplers: the data, and what the model makes of them."""

REAL, RECONSTRUCTIONS = "real", "reconstructions"

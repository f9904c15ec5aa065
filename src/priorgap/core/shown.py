"""Names of what a report shows that is no sampler's: the data, and what the model makes of them."""

REAL, RECONSTRUCTIONS = "real", "reconstructions"

"""Results on disk: where they stand, their keys, the records of studies."""

"""Results on disk: their places, their keys, and the records of studies."""

"""The steps of an evaluation as functions of values; `compare` and the pipeline call the same functions."""

"""The steps of an evaluation, values in and values out; `compare` and the pipeline call the same functions."""

"""Readers of a user's own files, one a format: text tables, Parquet, MATLAB, HDF5; and what all of them check."""

"""Readers of a user's own files, one for each format (text, Parquet, MATLAB, HDF5), and their common checks."""

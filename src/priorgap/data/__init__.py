"""Data sets as whole tensors, with official splits and checksums."""

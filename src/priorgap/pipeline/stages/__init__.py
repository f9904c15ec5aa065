"""The stages: (resolved configuration, upstream directories) -> directory, each skipped where it is done."""

"""Training with Lightning: thin modules, in-memory batches, exact resume."""

"""The command-line pipeline, the only package that imports Hydra, W&B and DVC."""

"""The only package that knows Hydra, W&B and DVC."""

"""What every package shares: facts of samplers, the catalogue of measures."""

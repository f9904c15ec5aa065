"""Configuration: what was typed, composed by Hydra, checked as typed groups, before anything heavy is imported."""

"""Estimators given a name, a space, a direction and a sample size."""

"""Densities fitted to the aggregate posterior, shared by samplers and the bracket."""

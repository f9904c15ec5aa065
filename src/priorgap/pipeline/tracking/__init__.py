"""W&B: one run for each model, from its first epoch to its last measure, grouped by study; one run for the report.

W&B is imported only when a run is written, so that `tracking=off` works without the package.
"""

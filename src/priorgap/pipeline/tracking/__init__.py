"""W&B: one run a model, from its first epoch to its last measure, grouped by study; one run for the report.

Nothing here is imported from W&B before a run is written: `tracking=off` needs no such package.
"""

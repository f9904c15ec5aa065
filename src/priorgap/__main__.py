"""`python -m priorgap`: the console script, for places where it is not on the PATH."""

from priorgap.pipeline.cli import main

main()

"""`priorgap plan`: shows which results a command would make and which exist; nothing is computed."""

import sys
from collections import Counter
from pathlib import Path

from priorgap.core.errors import refusing
from priorgap.pipeline.commands.run import checked_sessions
from priorgap.pipeline.config.plan import KINDS, plan_of
from priorgap.pipeline.config.session import Request
from priorgap.pipeline.plan_files import write_plan
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.terminal import LINE, counted


def main(overrides: tuple[str, ...], multirun: bool, config_dir: str | None) -> int:
    """Run the command; bad input raises BadInput with one line."""
    for _, cells in checked_sessions(Request(overrides, multirun, config_dir)):
        store = Store(Path(str(cells[0].config["output_root"])))
        with refusing():
            plan = plan_of(cells)
        LINE.close()
        for study in dict.fromkeys(cell.study for cell in cells):
            own = plan.of([cell for cell in cells if cell.study == study])
            planned = Counter(step.kind for step in own.steps.values())
            there = Counter(step.kind for step in own.steps.values() if store.is_complete(step))
            folder = write_plan(own, store)
            models = counted(len({model.train.path for model in own.models}), "model")
            sys.stdout.write(f"{study}: {models}; {folder} holds the plan of each stage\n")
            for kind in KINDS:
                if planned[kind]:
                    left = planned[kind] - there[kind]
                    said = f"{left} to make" if left else "all there"
                    sys.stdout.write(f"  {kind:<10} {planned[kind]:>5} results, {said}\n")
    return 0

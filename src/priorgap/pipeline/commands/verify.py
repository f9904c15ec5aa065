"""`priorgap verify`: verifies all checksums of a study's results and real data, and lists what a rerun would redo."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from priorgap.core.errors import refusing
from priorgap.pipeline.commands.store_arguments import folders_of_study, in_words, parse
from priorgap.pipeline.store import records
from priorgap.pipeline.store.folders import count_of, damage_of, extent_of
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.sweep.engines.cores import available_cores


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = parse(arguments)
    wrong = sum([_verify(order.store, study) for study in order.studies])
    if wrong:
        sys.stderr.write(f"priorgap: {wrong} folders or records are wrong; they are named above\n")
    return 1 if wrong else 0


def _verify(store: Store, study: str) -> int:
    """Check one study; return the number of damaged folders and records."""
    folders = list(folders_of_study(store, study))
    # Hashing releases the interpreter lock, so that threads run in parallel.
    with ThreadPoolExecutor(available_cores()) as pool:
        found = dict(zip(folders, pool.map(damage_of, folders), strict=True))
    broken = {folder: lines for folder, lines in found.items() if lines}
    for folder, lines in broken.items():
        for line in lines:
            sys.stdout.write(f"wrong: {line}\n")
        sys.stdout.write(
            f"  the command that made it makes {folder} again, and what was computed from it if that differs\n"
        )
    bad_records = _bad_records(store, study)
    missing = sum(
        not store.is_complete(step) for record in records.records_of(store, study) for step in record.steps
    )
    sound = [folder for folder in folders if folder not in broken]
    n_files, n_bytes = map(sum, zip(*map(extent_of, sound), strict=True)) if sound else (0, 0)
    rest = f"; {missing} results are not there yet (priorgap ls study={study})" if missing else ""
    bad = f", {len(broken)} folders wrong" if broken else ""
    sys.stdout.write(
        f"study={study}: {sum(map(count_of, folders))} results in {len(folders)} folders{bad}; "
        f"{n_files} sound files, {in_words(n_bytes)}{rest}\n"
    )
    return len(broken) + bad_records


def _bad_records(store: Store, study: str) -> int:
    bad = 0
    for file in records.files_of(store, study):
        try:
            records.read(file)
        except records.OtherVersion as error:
            sys.stdout.write(f"not looked for: {error}; what it names is not known here\n")
        except ValueError as error:
            bad += 1
            sys.stdout.write(f"wrong: {error}\n  the command that made the model writes its record again\n")
    return bad

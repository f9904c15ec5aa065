"""Fill the marks of the pages that report studies: say which are stale, or write them (--write).

    python experiments/evidence.py                      # exit status 1, and their names, where pages are stale
    python experiments/evidence.py --write
    python experiments/evidence.py --show 'ratio gmm/prior fid by loss.alpha of e12_series where decode=mean'
    python experiments/evidence.py --decide e12_series  # verdict.json of results.csv, for results without one
    python experiments/evidence.py --rerun e12_series outputs/e12_series/report     # one seed, run again, against it

`--rerun` says which rows of a rerun are equal to those published, how far the others moved and whether the
recommendation stands; with `--write` its numbers go into rerun.json beside the study.

CONTRIBUTING.md has the language of the marks. `--decide` knows only what is in results.csv; `priorgap publish` copies
the verdict of the report, which also knows how models were chosen and whether labels are real.
"""

import argparse
import sys
from pathlib import Path

from writeup import documents, reruns
from writeup.blocks import block
from writeup.check import typed, unproved
from writeup.published import EXPERIMENTS, Published
from writeup.query import BLOCKS, EvidenceError, parse

ROOT = EXPERIMENTS.parent


def main(words: list[str] | None = None) -> int:
    """Return the exit status: 1 where a page is stale or a number is unproved, 2 for a mark that cannot be read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the pages")
    parser.add_argument("--show", metavar="MARK", help="print what a mark gives, with `of ID`")
    parser.add_argument("--decide", metavar="ID", help="write verdict.json of a study's results.csv")
    parser.add_argument(
        "--rerun", nargs=2, metavar=("ID", "REPORT"), help="compare a report's folder with a study"
    )
    args = parser.parse_args(words)
    try:
        if args.show:
            query = parse(args.show, BLOCKS)
            print(block(query, Published(EXPERIMENTS / str(query.study)), ROOT / "README.md"))
            return 0
        if args.decide:
            return _decide(Published(EXPERIMENTS / args.decide))
        if args.rerun:
            return _rerun(Published(EXPERIMENTS / args.rerun[0]), Path(args.rerun[1]), args.write)
        return _pages(args.write)
    except EvidenceError as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2


def _pages(write: bool) -> int:
    status = 0
    for page in documents.pages():
        text, before = documents.written(page), page.read_text(encoding="utf-8")
        if write and text != before:
            page.write_text(text, encoding="utf-8")
            print(f"written: {page.relative_to(ROOT)}")
        elif text != before:
            print(f"stale: {page.relative_to(ROOT)}")
            status = 1
    answer = ROOT / "ANSWER.md"
    for line in typed(answer.read_text(encoding="utf-8")) if answer.is_file() else ():
        print(f"{answer.name}: {line}")
        status = 1
    for page in sorted(EXPERIMENTS.glob("*/README.md")):
        for line in unproved(Published(page.parent)):
            print(f"{page.relative_to(ROOT)}: {line}")
            status = 1
    return status


def _rerun(study: Published, report: Path, write: bool) -> int:
    from priorgap.core import artifacts

    entry = reruns.compared(study, report, _rules_of(study))
    if write:
        artifacts.save_json(study.folder / reruns.FILE, reruns.with_entry(reruns.recorded(study), entry))
    print("\n".join(reruns.lines(study.id, entry)))
    return 0 if reruns.holds(entry) else 1


def _decide(study: Published) -> int:
    import pandas as pd

    from priorgap.core import artifacts

    verdict = _rules_of(study)(pd.read_csv(study.folder / "results.csv", low_memory=False))
    artifacts.save_json(study.folder / "verdict.json", verdict.to_json())
    print("\n".join(verdict.tiers))
    return 0


def _rules_of(study: Published) -> reruns.Decide:
    """Return what decides a table by the rules of the study's configuration."""
    from priorgap.core.verdict_rules import VerdictRules
    from priorgap.pipeline.commands.run import checked_sessions
    from priorgap.pipeline.config.session import Request
    from priorgap.verdict import decide_study

    ((session, cells),) = checked_sessions(Request((f"experiment={study.id}",)))
    with session:
        rules = VerdictRules.of(cells[0].config["verdict"])
    return lambda table: decide_study(
        table, measure=rules.measure, space=rules.space or "", baseline=rules.baseline, level=rules.level,
        smallest_ratio=rules.smallest_ratio, limits=rules.health,
    )  # fmt: skip


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())

"""The result of `compare`: numbers, a verdict, and functions that draw data."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from priorgap.comparison.decode_rules import DRAW, ONLY_MEANS, DecodeRule, model_name
from priorgap.comparison.drawn import Drawn
from priorgap.comparison.synthetic import Synthetic, gathered
from priorgap.core import artifacts
from priorgap.core.arguments import show
from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.core.measures import Catalogue
from priorgap.data.splits import Split
from priorgap.samplers.protocols import FittedSampler
from priorgap.verdict import StudyVerdict, is_stop

if TYPE_CHECKING:
    import pandas as pd

    from priorgap.comparison.user_inputs import Context
    from priorgap.report import Page
    from priorgap.report.charts import Chart

# More rows than this would not fit into any memory.
_MOST = 10**9


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`.

    Attributes:
        table: tidy results, with the columns of results.csv.
        verdict: what to do, how sure that is, and why; `Comparison.health` has its findings.
        skipped: maps what is absent to the reason.
        catalogue: the entries of the measures: title, direction, section, ...
        drawn: the model and its fitted samplers; None where health stopped the comparison before it drew.
    """

    table: "pd.DataFrame"
    verdict: StudyVerdict
    skipped: Mapping[str, str] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: BUILTIN, repr=False)
    drawn: Drawn | None = field(default=None, repr=False)

    @property
    def health(self) -> tuple[Finding, ...]:
        """What is wrong or worth knowing about the model and the data; the gravest first."""
        return self.verdict.health

    def sampler(self, name: str) -> FittedSampler:
        """Return a fitted sampler: `sampler(name).sample(n, generator=...)` draws z.

        Raises:
            ValueError: there is no such sampler; one line with the existing ones.
        """
        return self._drawn().of(name).fitted

    def samples(self, name: str, *, decode_rule: DecodeRule | None = None) -> Split:
        """Return the decoded draws by which a sampler was measured, with their labels if they have any.

        Args:
            name: the sampler's name.
            decode_rule: "mean" or "draw"; None for the first that was measured.

        Raises:
            ValueError: there is no such sampler or rule; one line with the existing ones.
        """
        drawn = self._drawn()
        return drawn.samples(name, drawn.rule(decode_rule))

    def generate(
        self,
        n: int,
        sampler: str | None = None,
        *,
        label: int | str | None = None,
        context: "Context | None" = None,
        decode_rule: DecodeRule | None = None,
        seed: int = 0,
    ) -> Synthetic:
        """Draw a synthetic data set, by default from the sampler that the verdict recommends.

        Args:
            n: the number of rows.
            sampler: the sampler's name; None for the recommended one.
            label: the class of all rows, in the form of your labels; None for all classes in their shares.
            context: the model's contexts, in the form that `compare` got: n rows, or one for all. None for those of
                training rows, drawn as in `compare`.
            decode_rule: "mean" or "draw" of p(x|z); None for the first that was measured.
            seed: the seed of the draws; the first m of n rows are the same for every n.

        Returns:
            The rows, their labels and contexts where there are any, and a card. If health forbids the use of the
            model, data are drawn only from a named sampler, with a warning that is also on the card.

        Raises:
            ValueError: nothing is recommended and no sampler is named, or another argument cannot be used; one line.

        Example:
            >>> result.generate(100, context=torch.tensor([[0.3, 1.2]]))  # doctest: +SKIP
        """
        drawn = self._drawn()
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST:
            raise ValueError(f"n={show(n)}: expected an integer from 1 to {_MOST:,}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed={show(seed)}: expected an integer >= 0")
        rule = drawn.rule(decode_rule)
        name = sampler if sampler is not None else self._recommended(rule)
        if name is None:
            names = ", ".join(drawn.draws)
            raise ValueError(
                f"sampler: nothing is recommended ({self.verdict.headline}); expected one of {names}"
            )
        chosen = drawn.of(name)
        number = None if label is None else drawn.class_number(label)
        contexts = drawn.contexts(context, n, number)
        own_contexts = "given" if context is not None else "those of training rows"
        if is_stop(self.health):
            warnings.warn(
                f"the verdict recommends no sampler of this model: {self.verdict.headline}", stacklevel=2
            )
        from priorgap.report.card import DataCard, measured_of

        card = DataCard(
            study="a comparison",
            model="the model",
            sampler=name,
            role=chosen.sampler.role,
            traits=chosen.fitted.facts.traits,
            decode=rule,
            seed=seed,
            n=n,
            label="" if label is None else str(label),
            headline=self.verdict.headline,
            findings=self.health,
            measured=measured_of(
                self.table,
                model=model_name(rule),
                sampler=name,
                measure=self.verdict.measure,
                space=self.verdict.space,
                catalogue=self.catalogue,
            ),
            context="" if contexts is None else own_contexts,
        )
        blocks = drawn.blocks(name, n, rule=rule, label=number, seed=seed, contexts=contexts)
        return gathered(blocks, card, contexts)

    def to_markdown(self) -> str:
        """Return what to do, how sure that is, a table of samplers by measures, and the details."""
        from priorgap.report import readme_table

        table = readme_table(self.table, catalogue=self.catalogue, verdict=self.verdict)
        parts = [f"**Do this:** {self.verdict.headline}"]
        parts += [f"**How sure:** {self.verdict.sure}"] if self.verdict.sure else []
        parts += [table.rstrip("\n")]
        if self.verdict.details:
            parts.append("\n".join(["**Details:**", "", *(f"- {line}" for line in self.verdict.details)]))
        return "\n\n".join(parts) + "\n"

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one page that loads nothing; return its path."""
        place = Path(path)
        if place.is_dir():
            raise ValueError(
                f"path={place}: a folder; expected the name of a file, or save(...) for a folder"
            )
        artifacts.write_text(place, self._page(place.stem).html)
        return place

    def save(self, directory: str | Path) -> Path:
        """Write the page, its figures/, results.csv, verdict.json, table.md and table.tex; return the page's path."""
        from priorgap.report import write_page, write_results

        place = Path(directory)
        if place.exists() and not place.is_dir():
            raise ValueError(f"directory={place}: a file; expected a folder")
        write_results(place, self.table, self.verdict, self.catalogue)
        return write_page(self._page(place.name), place)

    def plot(self, measure: str | None = None, *, space: str | None = None) -> "Chart":
        """Draw a measure of all samplers, with intervals; shown in a notebook, `.save("chart.svg")` writes it.

        Args:
            measure: its name in the table; None for the measure that ranks.
            space: the feature space; None for that of the ranking, or the only one.

        Raises:
            ValueError: no sampler has such a measure; one line with the existing ones.
        """
        from priorgap.report import charts
        from priorgap.report.tables import cells_of

        entry = self.verdict.measure if measure is None else self.catalogue.get(measure)
        chart = None
        if entry is not None:
            cells = cells_of(self.table, self.verdict, self.catalogue)
            chart = charts.by_sampler(cells, entry, self._space(entry.name) if space is None else space)
        if chart is None:
            own = self.table[self.table["sampler"] != ""] if len(self.table) else self.table
            names = ", ".join(sorted(set(own["measure"]))) or "nothing was measured"
            raise ValueError(f"measure={measure!r}: no sampler has it; expected one of {names}")
        return chart

    def _space(self, measure: str) -> str:
        known = set(self.table.loc[self.table["measure"] == measure, "space"].fillna(""))
        return self.verdict.space if self.verdict.space in known else next(iter(sorted(known)), "")

    def __str__(self) -> str:
        return self.to_markdown().rstrip("\n")

    def __repr__(self) -> str:
        names = [] if self.drawn is None else list(self.drawn.draws)
        return f"Comparison({self.verdict.headline!r}, samplers={names})"

    def _repr_html_(self) -> str:
        import pandas as pd

        from priorgap.report.tables import cells_of, quality_table

        health = "".join(f"<li>{one.severity}: {escape(one.sentence)}</li>" for one in self.health)
        parts = [f"<p><b>Do this.</b> {escape(self.verdict.headline)}</p>"]
        parts += [f"<p><b>How sure.</b> {escape(self.verdict.sure)}</p>"] if self.verdict.sure else []
        parts += [f"<p><b>Health.</b></p><ul>{health}</ul>"] if health else []
        cells = cells_of(self.table, self.verdict, self.catalogue)
        found = quality_table(cells[0]) if cells else None
        if found is not None:
            parts.append(pd.DataFrame(found.rows, columns=found.header).to_html(index=False, border=0))
        return "".join(parts)

    def _recommended(self, rule: DecodeRule) -> str | None:
        """Return the recommended sampler for a decode rule."""
        cells = [cell for cell in self.verdict.cells if cell.keys.get("decode", rule) == rule]
        return cells[0].recommended if len(cells) == 1 else self.verdict.recommended

    def _drawn(self) -> Drawn:
        if self.drawn is None:
            raise ValueError(f"there are no draws: {self.verdict.headline}")
        return self.drawn

    def _page(self, title: str) -> "Page":
        from priorgap.report import page_of

        drawn = self.drawn
        aggregate = None if drawn is None else drawn.aggregate()
        rules = () if drawn is None else tuple(drawn.models)
        only_means = {} if drawn is None or DRAW in rules else {"draws of p(x|z)": ONLY_MEANS}
        return page_of(
            study=title,
            table=self.table,
            verdict=self.verdict,
            previews={} if drawn is None else {model_name(rule): drawn.previews(rule) for rule in rules},
            aggregates={} if aggregate is None else {model_name(rule): aggregate for rule in rules},
            skipped={**self.skipped, **only_means},
            catalogue=self.catalogue,
            studied=None if drawn is None else drawn.studied(),
            training=lambda model: None if drawn is None else drawn.training_images(),
        )

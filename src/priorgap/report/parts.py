"""The page's sections as the catalogue names them, each with all tables of its measures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

from priorgap.core.measures import Section
from priorgap.report import tables as tab
from priorgap.report.breakdowns import breakdowns

CellTables = list[tuple[tab.Cell, tab.TextTable]]
_BY_SAMPLER: Mapping[Section, Callable[[tab.Cell], tab.TextTable | None]] = {
    "quality": tab.quality_table,
    "copying": tab.copying_table,
    "accuracy": tab.accuracy_table,
}
# Sections with numbers of models instead of samplers, which get a table of their own.
_OF_MODELS: tuple[Section, ...] = ("latent", "bands")


@dataclass(frozen=True)
class Part:
    """One section of the page.

    Attributes:
        whole: the table of the models' own measures × cells.
        samplers: a table of samplers for each cell.
        details: tables by unit, class, size, ..., folded away.
    """

    whole: tab.TextTable | None = None
    samplers: CellTables = field(default_factory=list)
    details: CellTables = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return self.whole is not None or bool(self.samplers) or bool(self.details)


def tables(make: Callable[[tab.Cell], tab.TextTable | None], cells: Sequence[tab.Cell]) -> CellTables:
    """Return the tables of those cells that have one."""
    made = [(cell, make(cell)) for cell in cells]
    return [(cell, table) for cell, table in made if table is not None]


def parts_of(cells: Sequence[tab.Cell]) -> dict[str, Part]:
    """Return every section of the page by its name."""
    return {section: _part(cells, section) for section in get_args(Section)}


def _part(cells: Sequence[tab.Cell], section: Section) -> Part:
    samplers = tables(
        _BY_SAMPLER.get(section) or partial(tab.sampler_table, section=section, notes=False), cells
    )
    own = section in _OF_MODELS or not samplers
    return Part(
        whole=tab.model_table(cells, section) if own else None,
        samplers=samplers,
        details=[(cell, table) for cell in cells for table in breakdowns(cell, section)],
    )


def all_tables(cells: Sequence[tab.Cell]) -> Iterator[tab.TextTable]:
    """Yield every table of every section."""
    for part in parts_of(cells).values():
        if part.whole is not None:
            yield part.whole
        yield from (table for _, table in (*part.samplers, *part.details))

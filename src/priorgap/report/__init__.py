"""Results as tables, figures and one self-contained HTML page; nothing is computed here."""

from importlib import import_module
from typing import TYPE_CHECKING

# Names are imported on first use (PEP 562), so that a comparison without a page does not load the drawing
# libraries.
_EXPORTS = {
    "AggregateFigureData": "priorgap.report.aggregate",
    "Page": "priorgap.report.page",
    "page_of": "priorgap.report.page",
    "readme_table": "priorgap.report.summaries",
    "write_page": "priorgap.report.page",
    "write_results": "priorgap.report.page",
}

if TYPE_CHECKING:
    from priorgap.report.aggregate import AggregateFigureData
    from priorgap.report.page import Page, page_of, write_page, write_results
    from priorgap.report.summaries import readme_table

__all__ = ["AggregateFigureData", "Page", "page_of", "readme_table", "write_page", "write_results"]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.report' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)

"""Results as tables, figures and one self-contained HTML page; nothing is computed here."""

from priorgap.report.figures import AggregateFigureData
from priorgap.report.page import Page, page_of, write_page, write_results
from priorgap.report.tables import readme_table

__all__ = ["AggregateFigureData", "Page", "page_of", "readme_table", "write_page", "write_results"]

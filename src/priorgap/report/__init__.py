"""Results as tables, figures and one self-contained HTML page; nothing is computed here."""

from priorgap.report.figures import AggregateFigureData
from priorgap.report.page import write_report
from priorgap.report.tables import readme_table

__all__ = ["AggregateFigureData", "readme_table", "write_report"]

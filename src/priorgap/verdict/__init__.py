"""A study's statistics and its conclusion, as data and as a paragraph."""

from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decision import CandidateSummary, Verdict, decide
from priorgap.verdict.readings import FACT_COLUMNS, RESULT_COLUMNS, varying_keys
from priorgap.verdict.study import Recommendation, StudyVerdict, decide_study, pick_model

__all__ = [
    "FACT_COLUMNS",
    "RESULT_COLUMNS",
    "CandidateSummary",
    "Contrast",
    "Recommendation",
    "StudyVerdict",
    "Verdict",
    "decide",
    "decide_study",
    "pick_model",
    "varying_keys",
]

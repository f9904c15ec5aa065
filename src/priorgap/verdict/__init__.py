"""A study's statistics and its conclusion, as data and as a paragraph."""

from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decision import CandidateSummary, Verdict, decide
from priorgap.verdict.readings import RESULT_COLUMNS, varying_keys
from priorgap.verdict.study import StudyVerdict, decide_study, pick_model

__all__ = [
    "RESULT_COLUMNS",
    "CandidateSummary",
    "Contrast",
    "StudyVerdict",
    "Verdict",
    "decide",
    "decide_study",
    "pick_model",
    "varying_keys",
]

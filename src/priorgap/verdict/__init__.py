"""A study's statistics and conclusion, as data and in words: health, what is shown, what to do."""

from priorgap.verdict.advice import Advice
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decision import CandidateSummary, Verdict, decide
from priorgap.verdict.health import is_stop
from priorgap.verdict.readings import FACT_COLUMNS, RESULT_COLUMNS, varying_keys
from priorgap.verdict.study import Recommendation, StudyVerdict, decide_study, health_of, pick_model

__all__ = [
    "FACT_COLUMNS",
    "RESULT_COLUMNS",
    "Advice",
    "CandidateSummary",
    "Contrast",
    "Recommendation",
    "StudyVerdict",
    "Verdict",
    "decide",
    "decide_study",
    "health_of",
    "is_stop",
    "pick_model",
    "varying_keys",
]

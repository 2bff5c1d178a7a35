"""Did a month look different from its baseline? Statistics, thresholds, verdicts and a page, over frames.

Here: pure functions; which features there are and which rows are compared is the caller's business.
"""

from models.drift.comparison import Comparison, Feature, Limits, compare
from models.drift.report import report_html

__all__ = ["Comparison", "Feature", "Limits", "compare", "report_html"]

"""The page of one organisation's month, drawn by Evidently: the same statistics and thresholds as the comparison.

The page holds distributions in bins and counts by category, never a row.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from models.drift.comparison import Comparison

HEADING = "font-family: sans-serif; margin: 16px 24px; color: #555"


def report_html(
    comparisons: Sequence[Comparison], current: pd.DataFrame, baseline: pd.DataFrame, heading: str
) -> str:
    """Return a self-contained HTML page, under a heading, of the comparisons that were judged.

    The frames are those that were compared. Raises ValueError where nothing was judged.
    """
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415  (4 s to import)
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    judged = [item for item in comparisons if item.status != "insufficient"]
    if not judged:
        raise ValueError("nothing was judged: there is nothing to draw")
    names = {item.feature.id: f"{item.feature.name}（{item.feature.id}）" for item in judged}
    definition = DataDefinition(
        numerical_columns=[names[item.feature.id] for item in judged if item.feature.kind == "number"],
        categorical_columns=[names[item.feature.id] for item in judged if item.feature.kind == "category"],
    )

    def dataset(frame: pd.DataFrame) -> Dataset:
        shown = frame[list(names)].copy()
        for item in judged:
            if item.feature.kind == "category":
                known = shown[item.feature.id]
                shown[item.feature.id] = known.map(
                    lambda code, item=item: item.feature.categories.get(code, code)
                )
        return Dataset.from_pandas(shown.rename(columns=names), data_definition=definition)

    report = Report(
        [
            DataDriftPreset(
                columns=list(names.values()),
                # One drifted column is worth a look: no majority is asked for.
                drift_share=1 / len(judged),
                per_column_method={names[item.feature.id]: item.feature.method for item in judged},
                per_column_threshold={names[item.feature.id]: item.threshold for item in judged},
            )
        ]
    )
    page = report.run(dataset(current), dataset(baseline)).get_html_str(as_iframe=False)
    told = html.escape(heading)
    for tag, inside in (
        ("<head>", f'<meta charset="utf-8"><title>{told}</title>'),
        ("<body>", f'<p style="{HEADING}">{told}</p>'),
    ):
        page = page.replace(tag, tag + inside, 1)
    return page

"""What a run of intake has to tell a person: one line for each file that was not taken in as it should be.

Nothing is decided here.
"""

from __future__ import annotations

from pipelines.intake.reject import Reject
from pipelines.intake.run import IntakeSummary


def notices(summary: IntakeSummary) -> list[str]:
    """Return one Chinese line per unrecognised path, faulty reference row and file to look at, in order of path.

    Files to look at are those without a layout, with rejected rows or with columns in another order.
    """
    lines = [f"未识别 {item.path}：{item.reason}" for item in summary.unrecognised]
    lines += [describe_reject(reject) for reject in summary.reference_rejects]
    for record in summary.new_records:
        for file in record.files:
            if file.layout is None or file.accepted_count < file.row_count or file.is_reordered:
                lines.append(f"{record.institution_code}/{record.month}/{file.name}：{file.message}")
    return lines


def describe_reject(reject: Reject) -> str:
    """Return a reject in one Chinese line: file, row and field where there are any, what is wrong, what to do."""
    place = [
        reject.source_file,
        "" if reject.source_row is None else f"第{reject.source_row}行",
        reject.field or "",
    ]
    return f"{' '.join(filter(None, place))}：{reject.message_zh}。{reject.remedy_zh}"

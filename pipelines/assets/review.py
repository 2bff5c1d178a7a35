"""The reviewer's pages as an asset: after the release, a page per month and the gate's results behind it."""

import dagster as dg

from pipelines.assets.policy import OWNERS, metadata_table
from pipelines.progress import Progress
from pipelines.review.page import INDEX, write_reviews
from pipelines.settings import Settings

HEADINGS = {
    "month": "月份",
    "due": "应报（机构×数据集）",
    "missing": "未收到",
    "held": "暂缓",
    "failed": "关口不通过",
    "crashed": "程序出错",
    "page": "审核页",
}


def build_review_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the asset that writes the review pages."""

    @dg.asset(
        name="review",
        deps=[dg.AssetKey(["release"]), dg.AssetKey(["lake", "gate_verdict"])],
        group_name="release",
        kinds={"html"},
        owners=OWNERS["intake"],
        description="一页是一个月的审核：应报与已收到、申报与实到、接受与拒绝、更正的变化、首页质量、关口结论；另有逐条关口结论页。",
    )
    def review() -> dg.MaterializeResult:
        progress.step("月度审核页")
        reviews = write_reviews(settings)
        rows = [
            {
                "month": item.month,
                "due": item.due_count,
                "missing": item.missing_count,
                "held": item.held_count,
                "failed": item.failed_count,
                "crashed": item.crash_count,
                "page": str(item.page),
            }
            for item in reversed(reviews)
        ]
        metadata: dict[str, dg.MetadataValue] = {
            "全部月份": dg.MetadataValue.path(str(settings.reviews / INDEX)),
            "各月": metadata_table(rows, HEADINGS),
        }
        if reviews:
            metadata["最近一月"] = dg.MetadataValue.path(str(reviews[-1].page))
            metadata["最近一月的关口结论"] = dg.MetadataValue.path(str(reviews[-1].gate_page))
        return dg.MaterializeResult(metadata=metadata)

    return [review]

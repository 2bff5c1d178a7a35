"""Checks on a finished release: what was read agrees with what is shown."""

import dagster as dg
import duckdb

from pipelines.settings import Settings

RELEASE = dg.AssetKey(["release"])


def build_release_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return the reconciliation checks of the current release."""

    @dg.asset_check(
        asset=RELEASE, description="文件行数＝接受＋拒绝；病例数＝生效批次的接受行数；各机构相加＝全市。"
    )
    def counts_reconcile() -> dg.AssetCheckResult:
        with duckdb.connect(
            str(settings.releases / "current" / "marts.duckdb"), read_only=True
        ) as connection:
            rows, accepted, rejected, in_force = connection.execute(
                "select sum(row_count), sum(accepted_count), sum(rejected_count), sum(accepted_count)"
                " filter (where state = 'in_force' and dataset = 'front_sheet') from fct_delivery_file"
            ).fetchall()[0]
            cases = connection.execute("select count(*) from fct_case").fetchall()[0][0]
        return dg.AssetCheckResult(
            passed=rows == accepted + rejected and cases == (in_force or 0),
            metadata={
                "文件行数": int(rows or 0),
                "接受": int(accepted or 0),
                "拒绝": int(rejected or 0),
                "生效首页行数": int(in_force or 0),
                "病例数": int(cases),
            },
        )

    return [counts_reconcile]

"""The model card of a cost-growth period, in Chinese for its readers: data, what was left out, parameters, limits.

Only wording belongs here; every number is in the JSON beside it.
"""

from __future__ import annotations

CHANNEL_NAMES = {
    "total": "总费用",
    "drug": "药品",
    "consumable": "卫生材料",
    "examination": "检查检验",
    "service": "医疗服务",
    "coding": "编码强度（CC/MCC占比）",
    "drug_slope": "药品走势",
    "consumable_slope": "卫生材料走势",
    "examination_slope": "检查检验走势",
    "service_slope": "医疗服务走势",
}
LEVEL_NAMES = {
    "mdc": "机构×MDC",
    "adrg": "机构×ADRG",
    "department": "机构×科室×MDC（只供医院自用，不出线索）",
}
TIER_NAMES = {"red": "红", "amber": "黄", "grey": "灰"}
METHOD_NAMES = {"mirror_tail": "镜像尾部", "benjamini_hochberg": "Benjamini-Hochberg"}
TERM_NAMES = {
    "age_decades": "年龄（每十岁）",
    "age_decades_squared": "年龄平方（十岁的平方）",
    "is_female": "女性",
    "is_emergency": "急诊入院",
    "diagnosis_count": "诊断个数（最多计15）",
}
LIMITS = (
    "线索是复核的起点，不是结论：新技术、编码看不出的病情、同组内病种变化，看上去与不合理增长相同。",
    "全市共同的增长在与同级机构比较时相互抵消，本判别看不到；见全市增长分解。",
    "判别相信编码：多报诊断会抬高期望费用而掩盖费用增长，编码强度渠道只看CC/MCC占比。",
    "少数极端费用被截断（4个稳健标准差）；它们是单份病例的问题，不是增长。",
    "错误发现率是同级别线索中误报比例的估计，不是某一条线索为误报的概率。",
)


def write_model_card(model: dict, summary: dict, counts: dict[str, int]) -> str:
    """Return the card as Markdown.

    `model`, `summary`: as `flag_cost_growth` gives them; `counts`: accepted cases of both windows and those not
    handed to the model, by reason.
    """
    lines = [
        f"# 费用增长判别模型卡：{summary['period']}",
        "",
        f"被判别期间 {summary['judged_first_month']} 至 {summary['judged_last_month']}，"
        f"对照期间自 {summary['baseline_first_month']} 起的十二个月；期望费用只用对照期间拟合。",
        "",
        "## 数据",
        "",
        "| 项 | 病例数 |",
        "|---|---:|",
        f"| 两个期间的生效病例 | {counts['accepted_count']:,} |",
        f"| 未入组，不参与 | {counts['ungrouped_count']:,} |",
        f"| 年龄不明，不参与 | {counts['without_age_count']:,} |",
        f"| 参与，对照期间 | {summary['previous_case_count']:,} |",
        f"| 参与，被判别期间 | {summary['case_count']:,} |",
        "",
        f"分组方案 {counts['scheme_code']}，两个期间相同。输入摘要（SHA-256）：`{summary['input_digest']}`",
        "",
        "## 期望模型",
        "",
        "对数费用 = DRG均值 + 线性项（scikit-learn LinearRegression）；编码强度 = ADRG均值 + 年龄项。不使用住院天数、"
        "手术等医院可决定的量。",
        "DRG（编码强度为ADRG）在对照期间不足10例的不作期望。费用低于1元或低于该DRG中位数5%的，视为没有该项费用。",
        "",
        "| 渠道 | 拟合病例 | 组数 | 无期望的病例 | 无该项费用或不明的病例 | 系数 |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for channel, expectation in model.items():
        used = summary["channel"][channel]
        terms = "；".join(
            f"{TERM_NAMES[name]} {value:+.4f}" for name, value in expectation["coefficient"].items()
        )
        lines.append(
            f"| {CHANNEL_NAMES[channel]} | {expectation['case_count']:,} | {len(expectation['intercept']):,} |"
            f" {used['without_expectation_count']:,} | {used['without_value_count']:,} | {terms} |"
        )
    lines += ["", "各组的均值与费用下限见同名JSON文件。", "", "## 判别阈值", ""]
    for level, found in summary["unit_level"].items():
        lines += [
            f"### {LEVEL_NAMES[level]}",
            "",
            f"单元 {found['unit_count']:,} 个，可判别 {found['judged_unit_count']:,} 个。",
            "",
            "| 级别 | 错误发现率 | 方法 | 分数阈值 |",
            "|---|---:|---|---:|",
        ]
        for tier, verdict in found["tier"].items():
            threshold = "无单元达到" if verdict["threshold"] is None else f"{verdict['threshold']:.2f}"
            lines.append(
                f"| {TIER_NAMES[tier]} | {verdict['rate']:.0%} | {METHOD_NAMES[verdict['method']]} | {threshold} |"
            )
        lines += ["", "| 渠道 | 过度离散（方差） | 尺度 |", "|---|---:|---:|"]
        lines += [
            f"| {CHANNEL_NAMES[channel]} | {value:.6f} | {found['scale'][channel]:.2f} |"
            for channel, value in found["overdispersion"].items()
        ]
        lines.append("")
    lines += ["## 局限", "", *(f"- {limit}" for limit in LIMITS), ""]
    return "\n".join(lines)

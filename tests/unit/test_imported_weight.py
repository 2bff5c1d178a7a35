"""Imported weights: checked row by row against the scheme, kept once, used where the settings name them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.imported_weight import WeightImportError, import_weights, imported_weights_in_force
from pipelines.settings import Settings
from tests.unit.scheme.tiny_scheme import write_scheme

WITH_WEIGHTS = (
    "drg_code,adrg_code,drg_name,relative_weight\nEB19,EB1,肺切除,2.5\nES11,ES1,肺炎，伴并发症,\n"
    "ES15,ES1,肺炎，不伴并发症,0.8\nEQY,QY,歧义,9\n"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_scheme(tmp_path / "home" / "schemes" / "tiny")
    return Settings(home=tmp_path / "home", deliveries=tmp_path / "deliveries", judged_scheme="tiny")


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "weights.csv"
    path.write_text(text, encoding=encoding)
    return path


def refused(
    settings: Settings, file: Path | None, *words: str, name: str = "zj", scheme: str | None = None
) -> None:
    """Not imported, with these words, and nothing is left behind."""
    with pytest.raises(WeightImportError) as raised:
        import_weights(settings, name, scheme, file)
    for word in words:
        assert word in str(raised.value)
    assert not (settings.reference_sets / "imported").exists()


def test_a_table_is_kept_by_name_and_found_again(settings, tmp_path):
    file = table(
        tmp_path,
        "DRG_CODE, relative_weight,expected_cost_yuan,risk_grade,备注\n"
        "ES15,0.80005,8000.005,,肺炎\nEB19,2.5,,4,\n",
        encoding="gb18030",
    )
    made = import_weights(settings, "zj", None, file)
    assert (made.name, made.scheme_code, made.missing) == ("zj", "tiny", ("ES11",))
    assert made.rows.to_pylist() == [
        {"scheme_code": "tiny", "drg_code": "EB19", "relative_weight": Decimal("2.5000"), "expected_cost_yuan": None,
         "expected_stay_days": None, "risk_grade": 4},
        {"scheme_code": "tiny", "drg_code": "ES15", "relative_weight": Decimal("0.8001"),
         "expected_cost_yuan": Decimal("8000.01"), "expected_stay_days": None, "risk_grade": None},
    ]  # fmt: skip
    in_force = imported_weights_in_force(replace(settings, reference_set=("zj",)), ["tiny", "other"])
    assert in_force["tiny"].content_hash == made.content_hash and in_force["tiny"].rows.equals(made.rows)
    assert imported_weights_in_force(settings, ["tiny"]) == {}, "without being named it is not in force"


def test_a_scheme_may_bring_its_own_weights(settings):
    write_scheme(settings.home / "schemes" / "own", code="own", drg=WITH_WEIGHTS)
    made = import_weights(settings, "own_weights", "own")
    assert made.scheme_code == "own" and made.missing == ("ES11",)
    weights = {row["drg_code"]: str(row["relative_weight"]) for row in made.rows.to_pylist()}
    assert weights == {"EB19": "2.5000", "ES15": "0.8000"}, "an ambiguous group has no weight"


def test_a_scheme_without_weights_says_what_is_wanted(settings):
    refused(settings, None, "tiny", "drg.csv", "relative_weight")


@pytest.mark.parametrize(
    "rows, words",
    [
        ("EB19,heavy\n", ["第2行", "relative_weight 'heavy' 不是数字"]),
        ("EB19,\n", ["第2行", "relative_weight '' 不是数字"]),
        ("EB19,0\n", ["第2行", "大于0"]),
        ("EB19,-1\n", ["大于0"]),
        ("EB19,NaN\n", ["大于0"]),
        ("EB19,100000\n", ["小于100000"]),
        ("EB19,1\nXX99,1\n", ["第3行", "'XX99' 不是方案 tiny 的病组"]),
        ("EB19,1\nES11,1\nEB19,2\n", ["第4行", "'EB19' 重复"]),
        ("", ["没有数据行"]),
        ("".join(f"X{n},1\n" for n in range(30)), ["第11行", "共 30 处"]),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_written(settings, tmp_path, rows, words):
    refused(settings, table(tmp_path, "drg_code,relative_weight\n" + rows), "weights.csv", *words)


def test_a_wrong_benchmark_is_named(settings, tmp_path):
    text = "drg_code,relative_weight,expected_stay_days,risk_grade\nEB19,1,long,\nES11,1,3,5\n"
    refused(
        settings,
        table(tmp_path, text),
        "第2行：expected_stay_days 'long'",
        "第3行：risk_grade '5' 应为 0 至 4",
    )


def test_a_table_that_is_none_is_refused(settings, tmp_path):
    refused(settings, table(tmp_path, "drg,weight\nEB19,1\n"), "缺少列 drg_code、relative_weight")
    refused(settings, tmp_path / "nowhere.csv", "找不到文件")
    refused(settings, table(tmp_path, "drg_code,relative_weight\nEB19,1\n"), "nosuch", scheme="nosuch")
    (tmp_path / "weights.csv").write_bytes(b"drg_code,relative_weight\n\xff\xff\xff\xff\n")
    refused(settings, tmp_path / "weights.csv", "weights.csv")


@pytest.mark.parametrize("name", ["", "../up", "a b", "a,b", "a+b", "x" * 41, "_x", "权重"])
def test_a_name_is_plain(settings, tmp_path, name):
    refused(settings, table(tmp_path, "drg_code,relative_weight\nEB19,1\n"), "名称", name=name)


def test_what_is_kept_is_never_overwritten(settings, tmp_path):
    first = import_weights(
        settings, "zj", None, table(tmp_path, "drg_code,relative_weight\nEB19,2\nES11,1\n")
    )
    again = import_weights(
        settings, "zj", None, table(tmp_path, "drg_code,relative_weight\nES11,1.0\nEB19,2\n")
    )
    assert again.content_hash == first.content_hash, "the same rows in another order are the same weights"
    with pytest.raises(WeightImportError, match="已有另一组权重"):
        import_weights(settings, "zj", None, table(tmp_path, "drg_code,relative_weight\nEB19,3\n"))
    kept = imported_weights_in_force(replace(settings, reference_set=("zj",)), ["tiny"])
    assert kept["tiny"].content_hash == first.content_hash


def test_what_the_settings_name_must_be_there_and_fit(settings, tmp_path):
    write_scheme(settings.home / "schemes" / "own", code="own", drg=WITH_WEIGHTS)
    import_weights(settings, "own_weights", "own")
    file = table(tmp_path, "drg_code,relative_weight\nEB19,2\n")
    import_weights(settings, "zj", None, file)
    import_weights(settings, "zj2", None, file)
    for names, words in (
        (("gone",), "'gone' 不存在（已导入：own_weights、zj、zj2）"),
        (("own_weights",), "属于方案 own，该方案未在用（tiny）"),
        (("zj", "zj2"), "方案 tiny 有两组权重"),
    ):
        with pytest.raises(WeightImportError) as raised:
            imported_weights_in_force(replace(settings, reference_set=names), ["tiny"])
        assert words in str(raised.value)

"""The ledger of answers: what is taken, what is refused, and what dbt gets to read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.flag_review import (
    SCHEMA,
    FlagReviewError,
    NoFlagsError,
    answer_flag,
    publish_answers,
    read_flags,
    read_ledger,
)
from pipelines.settings import Settings

# Three flags: of an MDC, of a department over twelve months, of an ADRG.
MARTS = """
    create table dim_drg as select 'ES1' as adrg_code, '肺部感染' as adrg_name;
    create table fct_cost_growth_flag as
    select *, 'red' as tier, 0.25 as growth, cast(90000 as decimal(18, 2)) as excess_yuan, cast(null as varchar) as answer,
        cast(null as varchar) as answer_flag_id, false as is_suppressed
    from (values
        ('f1', 'mdc', 'H1', null, 'MDCE', null, '2019', 'drug'),
        ('f2', 'department', 'H1', '03', 'MDCE', null, '2020-06', 'drug'),
        ('f3', 'adrg', 'H2', null, 'MDCE', 'ES1', '2019', 'total')
    ) as f (flag_id, unit_level, institution_code, department_code, mdc_code, adrg_code, period, channel);
"""


def make_home(home: Path) -> Settings:
    """A home whose current release has nothing but flags."""
    release = home / "releases" / "r1"
    release.mkdir(parents=True)
    with duckdb.connect(str(release / "marts.duckdb")) as connection:
        connection.execute(MARTS)
    (release / "release.json").write_text("{}", encoding="utf-8")
    (home / "releases" / "current").symlink_to("r1")
    return Settings(home=home, deliveries=home / "deliveries")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_home(tmp_path)


def published(settings: Settings) -> list[dict]:
    publish_answers(settings)
    table = pq.read_table(settings.lake / "flag_review" / "answer.parquet")
    assert table.schema.remove_metadata() == SCHEMA
    return table.to_pylist()


def test_an_answer_carries_the_unit_of_its_flag(settings):
    line = answer_flag(settings, "f3", "explained", " 开展新技术，已备案 ", "2020-12", "王医师")
    assert (line.institution_code, line.mdc_code, line.adrg_code, line.channel, line.period) == (
        "H2", "MDCE", "ES1", "total", "2019",
    )  # fmt: skip
    assert (line.answer_reason, line.answer_until, line.answered_by) == (
        "开展新技术，已备案",
        "2020-12",
        "王医师",
    )
    assert read_ledger(settings) == [line]
    assert answer_flag(settings, "f2", "confirmed", "核实", None, "王").department_code == "03"
    assert settings.flag_ledger.read_bytes().startswith(b"\xef\xbb\xbfanswered_at,"), (
        "Excel opens it as UTF-8"
    )


def test_the_ledger_only_grows_and_the_last_answer_to_a_flag_holds(settings):
    first = answer_flag(settings, "f1", "explained", '逗号,和"引号"', None, "a")
    second = answer_flag(settings, "f1", "confirmed", "核实后确认", None, "b")
    assert read_ledger(settings) == [first, second]
    assert [(row["flag_id"], row["answer"], row["answer_until"]) for row in published(settings)] == [
        ("f1", "confirmed", None)
    ]
    assert [flag["answer"] for flag in read_flags(settings) if flag["flag_id"] == "f1"] == ["confirmed"]


def test_what_is_published_does_not_depend_on_the_time_of_the_answer(settings, tmp_path_factory):
    other = make_home(tmp_path_factory.mktemp("other"))
    for home in (settings, other):
        answer_flag(home, "f1", "dismissed", "豁免", "2021-12", "王")
        answer_flag(home, "f3", "explained", "新技术", None, "王")
    text = other.flag_ledger.read_text(encoding="utf-8-sig")
    other.flag_ledger.write_text(text.replace("\n20", "\n19"), encoding="utf-8-sig")
    assert read_ledger(settings)[0].answered_at != read_ledger(other)[0].answered_at
    publish_answers(settings), publish_answers(other)
    path = Path("flag_review") / "answer.parquet"
    assert (settings.lake / path).read_bytes() == (other.lake / path).read_bytes()


def test_without_answers_the_table_is_empty(settings):
    assert published(settings) == [] and not settings.flag_review.exists()
    assert publish_answers(settings) == {"explained": 0, "dismissed": 0, "confirmed": 0}


def test_answers_given_at_once_are_all_kept(settings):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: answer_flag(settings, "f1", "explained", f"理由{n}", None, "王"), range(24)))
    assert {line.answer_reason for line in read_ledger(settings)} == {f"理由{n}" for n in range(24)}
    assert sorted(path.name for path in settings.flag_review.iterdir()) == [".lock", "answers.csv"]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"flag_id": "f9"}, "没有线索 'f9'"),
        ({"reason": "  "}, "--reason 为空"),
        ({"reason": "=1+1"}, "公式"),
        ({"reason": "＠cmd"}, "公式"),
        ({"by": "-王"}, "--by 以"),
        ({"by": ""}, "--by 为空"),
        ({"reason": "一行\n两行"}, "换行或控制字符"),
        ({"reason": "长" * 501}, "至多500字"),
        ({"until": "2019-11"}, "早于线索期间的最后一月 2019-12"),
        ({"flag_id": "f2", "until": "2020-05"}, "早于线索期间的最后一月 2020-06"),
        ({"until": "2020-13"}, "不是 YYYY-MM"),
        ({"until": "２０２０-12"}, "不是 YYYY-MM"),
        ({"answer": "confirmed", "until": "2020-12"}, "confirm 不带 --until"),
    ],
)
def test_what_cannot_be_an_answer_is_refused_and_nothing_is_kept(settings, given, said):
    call = {"flag_id": "f1", "answer": "explained", "reason": "新技术", "until": None, "by": "王"} | given
    with pytest.raises(FlagReviewError, match=said):
        answer_flag(settings, **call)
    assert read_ledger(settings) == []


def test_the_month_of_the_flag_itself_is_a_valid_end(settings):
    assert answer_flag(settings, "f2", "explained", "新技术", "2020-06", "王").answer_until == "2020-06"


def test_without_a_release_nothing_can_be_answered(tmp_path):
    empty = Settings(home=tmp_path, deliveries=tmp_path / "deliveries")
    with pytest.raises(NoFlagsError, match="还没有发布"):
        answer_flag(empty, "f1", "explained", "新技术", None, "王")


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda text: text.replace("answered_at", "time"), "表头"),
        (lambda text: text + "2020,王\n", "第3行有2列"),
        (lambda text: text.replace("explained", "approved"), "第2行的 answer 'approved'"),
        (lambda text: text.replace("2021-12", "12月"), "第2行的 answer_until"),
    ],
)
def test_a_damaged_ledger_is_named_and_never_overwritten(settings, damage, said):
    answer_flag(settings, "f1", "explained", "新技术", "2021-12", "王")
    damaged = damage(settings.flag_ledger.read_text(encoding="utf-8-sig"))
    settings.flag_ledger.write_text(damaged, encoding="utf-8-sig")
    for ask in (
        read_ledger,
        publish_answers,
        lambda s: answer_flag(s, "f1", "explained", "再答", None, "王"),
    ):
        with pytest.raises(FlagReviewError, match=said):
            ask(settings)
    assert settings.flag_ledger.read_text(encoding="utf-8-sig") == damaged


def test_a_ledger_in_another_encoding_is_named(settings):
    answer_flag(settings, "f1", "explained", "新技术", None, "王")
    settings.flag_ledger.write_bytes(settings.flag_ledger.read_text(encoding="utf-8-sig").encode("gbk"))
    with pytest.raises(FlagReviewError, match="不是 UTF-8"):
        read_ledger(settings)

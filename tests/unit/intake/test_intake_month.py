"""Deliveries into the lake: what is rejected and why, how accepted rows look, what never gets there."""

import datetime
from decimal import Decimal

import duckdb
import pyarrow.parquet as pq
import pytest
from small_city import KEY, NAME, SHEET, CitySettings, columns_of

from pipelines.intake.pseudonym import PseudonymKeyError
from pipelines.intake.run import intake


def reasons(city):
    return [(r["source_row"], r["rule_id"], r["field"]) for r in city.rejects()]


def test_a_good_delivery(city):
    city.sheets({}, {})
    city.prescriptions()
    summary = city.intake()
    assert city.rejects() == []
    assert city.counts() == {
        "front_sheet.csv": (2, 2, 0),
        "prescription.csv": (1, 1, 0),
        "prescription_line.csv": (1, 1, 0),
        "prescription_review.csv": (1, 1, 0),
    }
    assert (summary.accepted_count, summary.rejected_count, summary.arrivals) == (5, 0, 1)
    sheet = city.query("from {front_sheet} order by source_row")[0]
    assert sheet["admission_date"] == datetime.date(2019, 3, 1) and sheet["admission_hour"] == 9
    assert sheet["total_fee_yuan"] == Decimal("1200.50") and sheet["blood_fee_yuan"] is None
    assert sheet["pathway_managed_code"] is None
    codes = city.query(
        "select position, diagnosis_code from {diagnosis} where source_row = 2 order by position"
    )
    assert [(row["position"], row["diagnosis_code"]) for row in codes] == [(1, "J18.900"), (2, "I10.x00")]
    prescription = city.query("from {prescription}")[0]
    assert prescription["is_reviewed"] is True and prescription["is_reasonable"] is False
    assert prescription["issue_codes"] == "1-12"


REJECTED = [
    ({"record_id": ""}, ("key_missing", "record_id")),
    ({"admission_ordinal": "-"}, ("key_missing", "admission_ordinal")),
    ({"discharge_date": ""}, ("key_missing", "discharge_date")),
    ({"admission_ordinal": "一"}, ("value_type", "admission_ordinal")),
    ({"age_years": "6.5"}, ("value_type", "age_years")),
    ({"total_fee_yuan": "一千"}, ("value_type", "total_fee_yuan")),
    ({"total_fee_yuan": "NaN"}, ("value_type", "total_fee_yuan")),
    ({"admission_date": "20190230"}, ("value_type", "admission_date")),
    ({"qc_date": "昨天"}, ("value_type", "qc_date")),
    ({"procedure_code@2": "51.2300", "procedure_date@2": "2019年"}, ("value_type", "procedure_date")),
    ({"record_id": "3.30106E+17"}, ("excel_mangled", "record_id")),
    ({"patient_id": "1.10105E+17"}, ("excel_mangled", "patient_id")),
    ({"total_fee_yuan": "1,200.50"}, ("excel_mangled", "total_fee_yuan")),
    ({"total_fee_yuan": "1.2005E+03"}, ("excel_mangled", "total_fee_yuan")),
    ({"nursing_fee_yuan": "#REF!"}, ("excel_mangled", "nursing_fee_yuan")),
    ({"admission_date": "43525"}, ("excel_mangled", "admission_date")),
    ({"admission_date": "2019/3/1"}, ("excel_mangled", "admission_date")),
    ({"discharge_date": "20190405"}, ("month_mismatch", "discharge_date")),
    ({"institution_name": "杭州市别的医院"}, ("institution_mismatch", "institution_name")),
    ({"record_id": "B0001"}, ("duplicate_key", "record_id")),
]


def test_rejected_sheets(city):
    """Every fault in a sheet of its own, in one delivery."""
    city.sheets({}, *(change for change, _ in REJECTED), {})
    city.intake()
    found = {row: (rule_id, field) for row, rule_id, field in reasons(city)}
    assert found == {number: reason for number, (_, reason) in enumerate(REJECTED, start=3)}
    assert city.counts() == {"front_sheet.csv": (len(REJECTED) + 2, 2, len(REJECTED))}
    assert all(reject["message_zh"] and reject["remedy_zh"] for reject in city.rejects())


def test_messages_say_both_values_of_a_mismatch(city):
    city.sheets({"stated_institution_code": "H9"}, {"discharge_date": "2019-04-05 08:00:00"}, layout="hqms")
    city.intake()
    messages = {r["rule_id"]: r["message_zh"] for r in city.rejects()}
    assert "H9" in messages["institution_mismatch"] and "H1" in messages["institution_mismatch"]
    assert "2019-04" in messages["month_mismatch"] and "2019-03" in messages["month_mismatch"]


def test_one_row_with_several_faults_counts_once(city):
    city.sheets({"age_years": "x", "total_fee_yuan": "y", "discharge_date": "20190501"}, {})
    city.intake()
    assert len(city.rejects()) == 3
    assert city.counts() == {"front_sheet.csv": (2, 1, 1)}


def test_duplicates_across_files_of_a_delivery(city):
    city.sheets({"record_id": "A"}, name="front_sheet_1.csv")
    city.sheets({"record_id": "A"}, {"record_id": "B"}, name="front_sheet_2.csv")
    city.intake()
    (reject,) = city.rejects()
    assert (
        reject["source_file"] == "front_sheet_2.csv" and "front_sheet_1.csv 第 2 行" in reject["message_zh"]
    )


def test_first_valid_row_of_a_key_is_accepted(city):
    city.sheets({"record_id": "A", "age_years": "x"}, {"record_id": "A"})
    city.intake()
    assert reasons(city) == [(2, "value_type", "age_years")]


def test_institution_name_variants_and_code_are_the_institution(city):
    city.sheets({"institution_name": NAME + " "}, {"institution_name": "H1"}, {"institution_name": ""})
    city.intake()
    assert city.rejects() == []


def test_unknown_institution_is_turned_away_as_a_whole(city):
    city.sheets({}, {}, institution="H9")
    city.sheets({}, institution="H1")
    city.intake()
    (reject,) = city.rejects()
    assert (reject["rule_id"], reject["source_row"]) == ("institution_unknown", None)
    assert city.query("select sum(row_count) r, sum(rejected_count) j from {file_count}") == [
        {"r": 3, "j": 2}
    ]


def test_a_bad_file_does_not_stop_the_others(city):
    city.sheets({})
    city.write("H1/2019-03/front_sheet_2.csv", b"")
    city.prescriptions()
    city.intake()
    assert [(r["source_file"], r["rule_id"]) for r in city.rejects()] == [("front_sheet_2.csv", "file_empty")]
    assert city.counts()["front_sheet.csv"] == (1, 1, 0)


def test_layouts_agree(city):
    combined = {"incision_healing_code@1": "5"}
    apart = {"incision_class_code@1": "2", "healing_class_code@1": "2"}
    procedure = {"procedure_code@1": "51.2300", "procedure_name@1": "胆囊切除", "procedure_level_code@1": "3"}
    city.sheets(procedure | apart | {"procedure_date@1": "20190302"}, institution="H1")
    city.write(
        "H2/2019-03/front_sheet.csv",
        (
            city.sheets(
                procedure
                | combined
                | {"procedure_date@1": "2019-03-02 11:00:00", "stated_institution_code": "H2"},
                layout="hqms",
                institution="H2",
            )
        ).read_bytes(),
    )
    city.intake()
    assert city.rejects() == []
    for dataset, without in (
        (
            "front_sheet",
            # Each layout is asked for the required items that it has.
            "institution_code, delivery_id, case_id, record_id, attending_physician_id, layout, required_item_count",
        ),
        ("procedure", "institution_code, delivery_id, case_id"),
    ):
        rows = city.query(f"select distinct * exclude ({without}) from {{{dataset}}}")
        assert len(rows) == 1, dataset
    assert rows[0]["incision_class_code"] == "2" and rows[0]["healing_class_code"] == "2"


def test_rc014_is_split(city):
    expected = {
        "0": ("0", None),
        "1": ("1", "1"),
        "3": ("1", "3"),
        "4": ("2", "1"),
        "9": ("3", "3"),
        "10": ("1", "9"),
        "30": ("3", "9"),
        "77": (None, None),
    }
    city.sheets(
        *({"procedure_code@1": "51.2300", "incision_healing_code@1": folded} for folded in expected),
        layout="hqms",
    )
    city.intake()
    rows = city.query("select incision_class_code, healing_class_code from {procedure} order by source_row")
    assert [tuple(row.values()) for row in rows] == list(expected.values())
    found = city.query("select source_row from {finding} where field = 'incision_healing_code'")
    assert found == [{"source_row": 9}], "77 is in no code list"


def test_age_in_days(city):
    ages = {
        "wt41": [
            ({"birth_date": "20190220", "infant_age": "0.3"}, 9),
            ({"birth_date": "", "infant_age": "15/30"}, 15),
            ({"birth_date": "", "infant_age": "2 10/30"}, 70),
            ({"age_years": "1", "birth_date": "20180101"}, None),
        ],
        "hqms": [
            ({"birth_date": "-", "infant_age": "12"}, 12),
            ({"birth_date": "2019-03-01", "infant_age": ""}, 0),
        ],
    }
    for layout, cases in ages.items():
        rows = [
            {"age_years": "0", "record_id": f"{layout}{n}"} | change for n, (change, _) in enumerate(cases)
        ]
        city.sheets(*rows, layout=layout, name=f"front_sheet_{layout}.csv")
    city.intake()
    for layout, cases in ages.items():
        rows = city.query(
            f"select age_days from {{front_sheet}} where layout = '{layout}' order by source_row"
        )
        assert [row["age_days"] for row in rows] == [days for _, days in cases]


def test_codes_outside_the_list_are_findings(city):
    city.sheets({"sex_code": "男", "discharge_status_code": "7"})
    city.intake()
    assert city.rejects() == []
    found = city.query("select field from {finding} where rule_id = 'L52' order by field")
    assert [row["field"] for row in found] == ["discharge_status_code", "sex_code"]
    (profile,) = city.query("select failing_count, checked_count from {profile} where metric = 'L52'")
    assert profile == {"failing_count": 1, "checked_count": 1}


def test_a_sheet_breaks_a_rule_once_however_many_procedures_do(city):
    late = {f"procedure_code@{n}": "51.2300" for n in (1, 2)} | {
        f"procedure_date@{n}": "20190320" for n in (1, 2)
    }
    city.sheets(late)
    city.intake()
    assert len(city.query("from {finding} where rule_id = 'L04'")) == 1


def test_rejected_prescription_rows(city):
    """Every fault in a row of its own, in one delivery; what hangs on a rejected row is an orphan."""
    prescriptions = [
        ({}, None),
        ({"prescription_id": ""}, "key_missing"),
        ({"prescribed_at": "2019/3/2 8:30"}, "excel_mangled"),
        ({"prescribed_at": "2019-04-02 08:30"}, "month_mismatch"),
        ({"visit_type": ""}, "key_missing"),
        ({"is_signed_resident": "Y"}, "value_type"),
        ({"prescription_id": "2.0E+11"}, "excel_mangled"),
        ({"prescription_id": "RX0"}, "duplicate_key"),
    ]
    lines = [
        ({}, None),
        ({"line_no": "x"}, "value_type"),
        ({"quantity": "一盒"}, "value_type"),
        ({"line_no": "1"}, "duplicate_key"),
        ({"prescription_id": "RX5"}, "orphan_line"),
    ]
    reviews = [
        ({"is_reasonable": ""}, "key_missing"),
        ({"issue_codes": "12-Jan"}, "excel_mangled"),
        ({"issue_codes": "1月12日"}, "excel_mangled"),
        ({"prescription_id": "RX5"}, "orphan_review"),
        ({}, None),
        ({}, "duplicate_key"),
    ]
    city.prescriptions(
        [{"prescription_id": f"RX{n}"} | change for n, (change, _) in enumerate(prescriptions)],
        [{"prescription_id": "RX0", "line_no": str(n + 1)} | change for n, (change, _) in enumerate(lines)],
        [{"prescription_id": "RX0"} | change for change, _ in reviews],
    )
    city.intake()
    found = {(r["dataset"], r["source_row"]): r["rule_id"] for r in city.rejects()}
    expected = {}
    for dataset, rows in (
        ("prescription", prescriptions),
        ("prescription_line", lines),
        ("prescription_review", reviews),
    ):
        expected |= {(dataset, n): rule for n, (_, rule) in enumerate(rows, start=2) if rule}
    assert found == expected


def test_orphans_are_rejected(city):
    city.prescriptions([{}], [{}, {"prescription_id": "RX9"}], [{"prescription_id": "RX9"}])
    city.intake()
    assert [(r["dataset"], r["rule_id"]) for r in city.rejects()] == [
        ("prescription_line", "orphan_line"),
        ("prescription_review", "orphan_review"),
    ]
    assert city.query("select is_reviewed from {prescription}") == [{"is_reviewed": False}]


def test_lines_of_a_rejected_prescription_are_orphans(city):
    city.prescriptions([{"amount_yuan": "x"}], [{}], None)
    city.intake()
    assert [r["rule_id"] for r in city.rejects()] == ["value_type", "orphan_line"]


def test_days_supply(city):
    lines = [
        ({"days": "14"}, 14.0),
        ({"quantity": "2", "units_per_pack": "24", "single_dose": "0.5", "dose_per_unit": "0.25"}, 8.0),
        ({"single_dose": "2", "dose_unit": "片", "units_per_pack": "24", "frequency": "BID"}, 6.0),
        ({"frequency": "3"}, 4.0),
        ({"frequency": "PRN"}, None),
        ({"route": "IVGTT"}, None),
    ]
    city.prescriptions([{}], [{"line_no": str(n)} | line for n, (line, _) in enumerate(lines)], None)
    city.intake()
    rows = city.query("select days_supply from {prescription_line} order by source_row")
    assert [row["days_supply"] for row in rows] == [days for _, days in lines]


def test_iv_antimicrobial_in_a_tertiary_outpatient_department(city):
    for institution in ("H1", "H2"):
        city.prescriptions([{}], [{"route": "ivgtt"}], None, institution=institution)
    city.intake()
    found = city.query("select institution_code from {finding} where rule_id = '1-14'")
    assert found == [{"institution_code": "H1"}], "H2 is a level-2 institution"


def test_declared_totals_are_compared_file_by_file(city):
    city.sheets({}, {})
    city.envelope(
        [
            {"name": "front_sheet.csv", "rows": 3, "sha256": "0" * 64, "total_fee_yuan": 2401.0},
            {"name": "front_sheet_2.csv", "rows": 1},
        ]
    )
    city.intake()
    profile = city.query("select metric, failing_count, checked_count from {profile} where failing_count > 0")
    counts = {row["metric"]: (row["failing_count"], row["checked_count"]) for row in profile}
    assert counts["declared_rows_mismatch"] == (1, 1)
    assert counts["sha_mismatch"] == (1, 1)
    assert counts["declared_file_missing"] == (1, 2)
    assert "declared_yuan_mismatch" not in counts, "1200.50 + 1200.50 = 2401.00"


def test_unusable_envelopes(city):
    contents = ["{", "[]", '{"files": [{"rows": 1}]}', '{"institution_code": "H7"}', '{"period": "2019-04"}']
    for number, content in enumerate(contents, start=1):
        month = f"2019-{number:02d}"
        city.sheets(
            {"admission_date": f"2019{number:02d}01", "discharge_date": f"2019{number:02d}05"}, month=month
        )
        city.write(f"H1/{month}/envelope.json", content)
    city.intake()
    assert [r["rule_id"] for r in city.rejects()] == ["envelope_invalid"] * len(contents)
    assert city.counts()["front_sheet.csv"] == (1, 1, 0)


IDENTITY = [
    "张三丰",
    "李四光",
    "王医师",
    "11010519491231002X",
    "13800000000",
    "某某路一号",
    "B0001",
    "RX1",
    "P77",
    "D9",
]


def test_no_identity_in_the_lake(city):
    wrong = {"record_id": "B0001", "patient_phone": "13800000000", "age_years": "11010519491231002X"}
    city.sheets(
        {},
        wrong,
        {"institution_name": "张三丰"},
        {"total_fee_yuan": "13800000000x", "admission_date": "张三丰"},
    )
    city.prescriptions([{}, {"prescription_id": "RX1"}], [{}], [{}])
    city.intake()
    files = list(city.settings.home.rglob("*.parquet"))
    assert len(files) > 10
    for path in files:
        texts = [
            str(value)
            for column in pq.read_table(path, partitioning=None).columns
            for value in column.to_pylist()
        ]
        for secret in IDENTITY:
            assert not any(secret in text for text in texts), (path.name, secret)


def test_hashes_link_what_belongs_together(city):
    city.sheets({}, {"admission_ordinal": "2", "record_id": "B0001"})
    city.sheets({"institution_name": ""}, institution="H2")
    city.prescriptions([{"inpatient_record_no": "B0001", "patient_id": "11010519491231002x"}])
    city.intake()
    rows = city.query("select institution_code, record_id, case_id, patient_id from {front_sheet}")
    assert len({row["case_id"] for row in rows}) == 3
    assert len({row["record_id"] for row in rows}) == 2, "a record number belongs to its institution"
    assert len({row["patient_id"] for row in rows}) == 1, "a national ID number links across institutions"
    (prescription,) = city.query("select inpatient_record_id, patient_id from {prescription}")
    assert prescription["inpatient_record_id"] in {row["record_id"] for row in rows}
    assert prescription["patient_id"] == rows[0]["patient_id"]


def test_fillers_are_no_person(city):
    fillers = ("无", "不详", "000000000000000000", "")
    city.sheets(*({"patient_id": filler} for filler in fillers))
    city.intake()
    assert city.query("select distinct patient_id from {front_sheet}") == [{"patient_id": None}]


def test_a_missing_key_is_a_clear_error(city):
    city.sheets({})
    with pytest.raises(PseudonymKeyError, match="DRGQ_PSEUDONYM_KEY"):
        intake(CitySettings(city.settings.root, pseudonym_key=None))
    assert not city.settings.lake.exists()


def test_key_changes_every_hash(city):
    city.sheets({})
    city.intake()
    first = city.query("select case_id from {front_sheet}")
    intake(CitySettings(city.settings.root, pseudonym_key=KEY + b"!"))
    assert city.query("select case_id from {front_sheet}") != first


def test_types_of_the_lake(city):
    city.sheets({})
    city.prescriptions()
    city.intake()
    with duckdb.connect() as con:
        for dataset in (
            "front_sheet",
            "diagnosis",
            "prescription",
            "prescription_line",
            "finding",
            "file_count",
        ):
            files = sorted((city.settings.lake / dataset).rglob("*.parquet"))
            kinds = {str(con.read_parquet(str(path), hive_partitioning=False).dtypes) for path in files}
            assert len(files) == 2 and len(kinds) == 1, dataset


def test_score_of_a_sheet(city):
    city.sheets({}, {"drug_allergy_code": "1", "abo_code": "1", "rh_code": "2"}, {"total_fee_yuan": "1.00"})
    city.intake()
    rows = city.query("select front_sheet_score from {front_sheet} order by source_row")
    scores = [row["front_sheet_score"] for row in rows]
    assert scores[1] == scores[0] + Decimal("1.5") and scores[2] == scores[0] - 4


def test_a_dash_is_an_answer_on_paper_and_nothing_in_hqms(city):
    empty = {"employer": "", "contact_phone": ""}
    dash = {"employer": "-", "contact_phone": "-"}
    filled = {
        key: "x"
        for key in columns_of("wt41")
        if "@" not in key and key.endswith(("name", "address", "phone", "place", "_id"))
    }
    filled |= {
        "ethnic_group_code": "1",
        "occupation_code": "90",
        "marital_status_code": "2",
        "current_postcode": "310000",
        "contact_relation_code": "1",
    }
    filled = {key: value for key, value in filled.items() if key not in SHEET} | {
        "employer": "某厂",
        "contact_phone": "1",
    }
    for layout in ("wt41", "hqms"):
        rows = [{"record_id": f"{layout}{n}"} | filled | change for n, change in enumerate(({}, empty, dash))]
        city.sheets(*rows, layout=layout, name=f"front_sheet_{layout}.csv")
    city.intake()
    rows = city.query("select layout, front_sheet_score from {front_sheet} order by layout desc, source_row")
    scores = {
        layout: [r["front_sheet_score"] for r in rows if r["layout"] == layout] for layout in ("wt41", "hqms")
    }
    assert [scores["wt41"][0] - score for score in scores["wt41"]] == [0, 1, 0]
    assert [scores["hqms"][0] - score for score in scores["hqms"]] == [0, 1, 1]


def test_a_stay_without_an_admission_date_has_no_length(city):
    city.sheets({"length_of_stay": "", "admission_date": ""}, {"length_of_stay": ""})
    city.intake()
    rows = city.query("select length_of_stay as days from {front_sheet} order by source_row")
    assert [row["days"] for row in rows] == [None, 4]


def test_numbers_too_large_to_reckon_with_are_rejected_and_stop_nothing(city):
    huge = {"total_fee_yuan": "9999999999999999.99", "western_drug_fee_yuan": "9999999999999999.99"}
    city.sheets({}, {"age_years": "2147483647"}, huge, huge, {"total_fee_yuan": "999999999.99"})
    city.intake()
    assert reasons(city) == [
        (3, "value_type", "age_years"),
        *(
            (row, "value_type", field)
            for row in (4, 5)
            for field in ("total_fee_yuan", "western_drug_fee_yuan")
        ),
    ]
    assert len(city.query("from {front_sheet}")) == 2


def test_one_column_of_hqms_names_either_kind_of_receiving_institution(city):
    city.sheets(
        *({"discharge_status_code": code, "receiving_institution_name": "某院"} for code in ("2", "3", "")),
        layout="hqms",
    )
    city.intake()
    rows = city.query(
        "select receiving_institution_name as a, receiving_primary_care_name as b from {front_sheet} order by source_row"
    )
    assert [(row["a"], row["b"]) for row in rows] == [("某院", None), (None, "某院"), ("某院", None)]


def test_an_endless_envelope_is_not_read(city):
    city.sheets({})
    city.write("H1/2019-03/envelope.json", b'{"files": "' + b"x" * (2 << 20) + b'"}')
    city.intake()
    [reject] = city.rejects()
    assert reject["rule_id"] == "envelope_invalid" and "1 MB" in reject["message_zh"]
    assert city.counts() == {"front_sheet.csv": (1, 1, 0)}

"""Invented people: names, identity numbers, telephones and addresses with the shape of real ones.

Every value carries a mark that no real one has, listed in `IDENTITY_MARKERS`, so that a test can search a
lake, a log or a release for leaked identity. The area code 339900 is not assigned; the names all have 拟
("simulated") as middle character.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.demo import text
from pipelines.demo.text import Vocabulary

IDENTITY_MARKERS: dict[str, str] = {
    "name": r"[赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏]拟.",
    "identity_number": r"339900(18|19|20)\d{9}[\dX]",
    "telephone": r"19900\d{6}|0571-0099\d{4}",
    "address": r"拟设路\d+号",
    "employer": r"拟设单位\d+厂",
    "health_card": r"YSK\d{9}",
    "staff": r"YG\d{3}[A-Z]\d{3}",
}
_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏"
_GIVEN = "安宁康泰和平顺吉祥瑞清明朗晴雨雪霜露春夏秋冬梅兰竹菊松柏杉桐楠枫荷莲芳芬芝萍英华丽娟秀珍"
_TOWNS = ("示范街道", "示范镇", "示范乡", "示范新村")

NAMES = Vocabulary([f"{surname}拟{given}" for surname in _SURNAMES for given in _GIVEN])
ADDRESSES = Vocabulary(
    [f"浙江省杭州市示范区{town}拟设路{number}号" for town in _TOWNS for number in range(1, 751)]
)
EMPLOYERS = Vocabulary([f"杭州市示范区拟设单位{number}厂" for number in range(1, 401)])
_CHECK = Vocabulary(list("10X98765432"))
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
_STAFF_ROLES = "ZFGSNTICQHOAPR"


@dataclass(frozen=True)
class People:
    """Who the rows are about: one entry per row, equal for rows of the same person."""

    name: np.ndarray
    contact: np.ndarray
    address: np.ndarray
    telephone: np.ndarray
    contact_telephone: np.ndarray
    employer: np.ndarray
    serial: np.ndarray

    @staticmethod
    def invent(rng: np.random.Generator, leader: np.ndarray) -> People:
        """Invent one person per distinct `leader`, the row that a person appears in first."""
        count = len(leader)

        def draw(high: int) -> np.ndarray:
            return rng.integers(0, high, count)[leader]

        return People(
            draw(len(NAMES)), draw(len(NAMES)), draw(len(ADDRESSES)), draw(10**6), draw(10**6),
            draw(len(EMPLOYERS)), draw(499)
        )  # fmt: skip


def identity_numbers(birth: np.ndarray, sex: np.ndarray, serial: np.ndarray) -> pa.Array:
    """Return 18-character identity numbers that agree with birth date, sex and check digit."""
    months = birth.astype("datetime64[M]")
    year = months.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    day = (birth - months.astype("datetime64[D]")).astype(np.int64) + 1
    order = serial * 2 + (sex == 1)
    body = ((339900 * 10**4 + year) * 10**4 + month * 100 + day) * 1000 + order
    digits = (body[:, None] // 10 ** np.arange(16, -1, -1, dtype=np.int64)) % 10
    return text.glue(text.integers(body), _CHECK.take((digits * _WEIGHTS).sum(axis=1) % 11))


def telephones(number: np.ndarray) -> pa.Array:
    """Return 11-digit mobile numbers of a range that is not in use."""
    return text.integers(19_900_000_000 + number)


def health_cards(number: np.ndarray) -> pa.Array:
    """Return invented health card numbers."""
    return text.glue("YSK", text.integers(100_000_000 + number))


def staff(institution: int, role: str) -> Vocabulary:
    """Return the 60 staff numbers of one role (one letter) in an institution."""
    if role not in _STAFF_ROLES:
        raise ValueError(f"{role!r} is no staff role")
    return Vocabulary([f"YG{institution:03d}{role}{number:03d}" for number in range(1, 61)])

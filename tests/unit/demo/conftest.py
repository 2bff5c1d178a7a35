"""Two small cities for the tests of the generator, each written once: a clean and a faulty one."""

from __future__ import annotations

import pytest

from pipelines.demo import generate_city


@pytest.fixture(scope="session")
def clean_city(tmp_path_factory):
    """Six institutions (both layouts, all special types but one), one year."""
    out = tmp_path_factory.mktemp("clean")
    return generate_city(
        out, seed=11, institutions=6, front_sheets=1500, prescriptions=4000, years=(2019,), clean=True
    )


@pytest.fixture(scope="session")
def faulty_city(tmp_path_factory):
    """Three institutions, one year: large enough for rare sheets such as deaths and newborns."""
    out = tmp_path_factory.mktemp("faulty")
    return generate_city(out, seed=5, institutions=3, front_sheets=9000, prescriptions=4000, years=(2019,))

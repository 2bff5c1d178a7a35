"""The fixture of the intake tests: a very small city in a temporary folder."""

import pytest
from small_city import City


@pytest.fixture
def city(tmp_path):
    return City(tmp_path)

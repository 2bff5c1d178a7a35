"""The finished city of the integration tests, for the specifications that look at a release."""

from tests.integration.conftest import city, demo_home, shared_root

__all__ = ["city", "demo_home", "shared_root"]

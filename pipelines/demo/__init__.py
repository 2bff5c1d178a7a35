"""The demonstration city: invented hospitals, patients and prescriptions in the layouts of real deliveries.

What belongs here: drawing clinically coherent stays and prescriptions, writing them as institutions would
deliver them, and the answer key of what was put wrong on purpose. What does not: any rule, indicator or
target of the product. The generator knows the layouts and never imports what judges them, so that it cannot
agree with a mistake by sharing it.
"""

from pipelines.demo.catalogue import CatalogueError
from pipelines.demo.city import CitySummary, DeliveriesExistError, generate_city, write_correction
from pipelines.demo.identity import IDENTITY_MARKERS

__all__ = [
    "IDENTITY_MARKERS",
    "CatalogueError",
    "CitySummary",
    "DeliveriesExistError",
    "generate_city",
    "write_correction",
]

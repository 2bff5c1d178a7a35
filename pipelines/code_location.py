"""What workspace.yaml points at: the definitions, built from the environment when Dagster loads them."""

from pipelines.definitions import definitions_from_environment

definitions = definitions_from_environment()

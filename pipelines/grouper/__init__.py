"""The grouper outside the pipeline: the dbt project's grouping statements on plain case lists."""

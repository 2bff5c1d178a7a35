"""Intake: from the files that an institution hands over to accepted rows, rejects and findings in the lake.

Here: finding deliveries, decoding, mapping a layout by column name, typing, pseudonymising, accepting or
rejecting, evaluating the rules of `expectations/`, writing Parquet and judging each delivery. Not here: when
any of it runs (`pipelines/assets`), and what the numbers mean (`dbt_project/`).
"""

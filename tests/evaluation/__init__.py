"""The cost-growth judgement scored in cities of which everything is known: `python -m tests.evaluation`.

`worlds` makes the cities and imports nothing of the detector, `baselines` are the simple methods that it must
beat, `measures` turns judgements into figures, `report` writes docs/evaluation.md. The detector is asked only
through its public call.
"""

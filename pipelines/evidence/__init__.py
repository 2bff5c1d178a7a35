"""What a reviewer needs to judge a cost-growth flag: rows of evidence (`gather`) and one page per flag (`card`).

Which units are flagged is decided in `models/cost_growth`; nothing here changes a flag.
"""

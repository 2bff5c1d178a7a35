"""What a reviewer looks at: one static page per month, and the gate's results behind it.

Here: what the pages say and how they are laid out. They are drawn from the current release; only what a release does
not keep (what a delivery changed, the cases behind a verdict) is read from the lake. When pages are made is decided by
the assets.
"""

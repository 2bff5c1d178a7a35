"""Statistical judgement as pure functions: frames and policy numbers in, frames and plain dictionaries out.

Nothing here reads or writes files, knows the pipeline, the warehouse or a clock, or keeps a fitted object:
what was fitted is handed back as text. When to run and where results go is decided by the caller.
"""

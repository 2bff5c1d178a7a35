"""What we accept from others, as data: rules per row, contracts per delivery, and their runners.

Rules and contracts are YAML beside this module. This package knows nothing of files, layouts or the lake:
it renders SQL over canonical columns and judges small frames of counts.
"""

"""Read a checked-out region folder of OpenDRG (`drg_group/<region>`) into the tables of a scheme.

`region` knows the folder, `condition` the conditions and the rows that they become, `probe` what small functions do.
Every file is read as a syntax tree or as lines of text: nothing of the folder is imported or run. What is not understood
is an error that names file and line, because a rule left out would group cases wrongly without anybody noticing.
"""

"""Reports that a reader can open years later: one HTML file each, with nothing outside it.

`run_page`, `sweep_page`, `comparison_page` and `suite_page` each make one; `text` makes the terminal's.
"""

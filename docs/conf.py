"""Settings of Sphinx; `build.py` gathers what it reads."""

project = "Explorer"
author = "The Explorer developers"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "Explorer"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
suppress_warnings = ["myst.header", "myst.xref_missing"]

# SPDX-License-Identifier: GPL-2.0
"""Sphinx settings of stor's manual; see Documentation/build."""

project = "stor"
author = "The stor developers"
project_copyright = "The stor developers"

# Version of the module; Documentation/build passes what kmod/ says.
release = version = "unknown"

extensions = []
highlight_language = "none"
exclude_patterns = []

# A picture or page that cannot be found is an error: sphinx-build -W.
nitpicky = True

html_theme = "alabaster"
html_theme_options = {
    "description": "Stacking block driver for the disks of virtual machines",
    "page_width": "70em",
    "sidebar_width": "15em",
    "fixed_sidebar": True,
}
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False

# SPDX-License-Identifier: GPL-2.0
"""Sphinx: sphinx-build -W -n Documentation OUTPUT."""

project = "sysgenid"
highlight_language = "none"
html_theme = "alabaster"

"""The report of `cgsim report`: results as one HTML file that loads nothing."""

from __future__ import annotations

from cgsim.results.html.report import html_report

__all__ = ["html_report"]

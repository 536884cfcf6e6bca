"""The report of a bench run: tables, plots and one page."""

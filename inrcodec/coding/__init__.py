"""Coding: Field to Sections and back, in integers."""

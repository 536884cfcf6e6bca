"""Fitting: Signal to Field, in the encoder only; the one room that needs torch."""

"""Fitting: Signal to Field, in the encoder only; the one room that needs torch."""

import os

# Threads that wait by spinning make a fit ten times slower as soon as anything else runs on the
# machine. Has an effect only if torch is not loaded yet; whoever sets the variable is obeyed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

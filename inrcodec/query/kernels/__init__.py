"""Kernels: backends that evaluate fields; all have the meaning of the reference."""

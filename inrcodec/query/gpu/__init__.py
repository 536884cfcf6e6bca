"""Asks stacks of fields on a GPU, each in one launch: the decoder's only part with torch."""

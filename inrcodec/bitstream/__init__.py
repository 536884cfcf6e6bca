"""Bitstream: sections to bytes and back, with every byte accounted for."""

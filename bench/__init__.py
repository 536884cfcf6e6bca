"""Compares inrcodec with other codecs; the package never imports it."""

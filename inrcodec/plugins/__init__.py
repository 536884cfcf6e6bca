"""Joins signals with the plug-in interfaces of other libraries, none of which is needed."""

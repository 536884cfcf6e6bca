"""Files: signals read from other formats and written to them, all or nothing."""

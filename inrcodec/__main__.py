"""Joins `python -m inrcodec` with the command line."""

import sys

from inrcodec.cli import main

sys.exit(main())

"""Starts `python -m bench`."""

import sys

try:
    from bench.cli import main

    code = main()
except KeyboardInterrupt:  # while the libraries are imported
    print("bench: interrupted", file=sys.stderr)
    code = 130
raise SystemExit(code)

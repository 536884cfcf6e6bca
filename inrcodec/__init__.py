"""Turns sampled signals into small neural fields in `.inrc` files, and asks them back anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inrcodec.batch import decode_batch
    from inrcodec.codec import decode, encode, info, open
    from inrcodec.errors import InrcodecError
    from inrcodec.query.batch import query_many
    from inrcodec.query.view import SignalView
    from inrcodec.signal import Axis, Signal

__version__ = "0.1.0"

__all__ = [
    "Axis",
    "InrcodecError",
    "Signal",
    "SignalView",
    "__version__",
    "decode",
    "decode_batch",
    "encode",
    "info",
    "open",
    "query_many",
]

_HOMES = {
    "Axis": "inrcodec.signal",
    "InrcodecError": "inrcodec.errors",
    "Signal": "inrcodec.signal",
    "SignalView": "inrcodec.query.view",
    "decode": "inrcodec.codec",
    "decode_batch": "inrcodec.batch",
    "encode": "inrcodec.codec",
    "info": "inrcodec.codec",
    "open": "inrcodec.codec",
    "query_many": "inrcodec.query.batch",
}


def __getattr__(name: str) -> Any:
    # PEP 562: importing the package stays fast, and decoding never loads what encoding needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

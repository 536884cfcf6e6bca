"""Defines the words of `inrcodec base`."""

from __future__ import annotations

import argparse
from typing import Any

from inrcodec.cli import values


def _base(args: argparse.Namespace) -> int:
    from inrcodec.cli import base

    return int(getattr(base, args.base_command)(args))


def base_words(commands: Any, parser: type[argparse.ArgumentParser], epilog: str) -> None:
    """Commands about bases: shared parameters of modulated fields."""
    about = "Train, list, describe and add bases: what modulated fields share"
    made = commands.add_parser("base", help=about, description=f"{about}.", epilog=epilog)
    # Its words are commands, which do not mix with files.
    made._mixed = True
    inner = made.add_subparsers(required=True, metavar="COMMAND", parser_class=parser)

    def command(name: str, run: str, about: str) -> argparse.ArgumentParser:
        words: argparse.ArgumentParser = inner.add_parser(name, help=about, description=f"{about}.")
        words.set_defaults(run=_base, base_command=run)
        words.add_argument("--json", action="store_true", help="results as JSON")
        words.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        return words

    train = command("train", "train", "Train a base on pictures or arrays")
    add = train.add_argument
    add("data", nargs="+", metavar="DATA", help="files, or folders with all below them")
    about = "of the base: a file in the user's folder, unless it is a path"
    add("-o", "--output", required=True, metavar="NAME", help=f"name {about}")
    add("-f", "--force", action="store_true", help="replace a base that exists")
    add("--steps", type=values.count, metavar="N", help="of the training")
    add("--seed", type=int, metavar="N", help="of the random numbers (0)")
    add("--patch", type=values.positive, metavar="N", help="samples of a patch along an axis")
    add("--margin", type=values.positive, metavar="N", help="samples it fades over, at most half")
    add("--units", type=values.positive, metavar="N", help="that latents shift")
    about = "dimensions of the latents that are coded together, as in 4,12,16"
    add("--groups", type=values.shape, metavar="N,...", help=about)
    add("--inner-steps", type=values.positive, metavar="N", help="from zero to the latents")
    about = "do not differentiate through inner steps"
    add("--first-order", action="store_true", default=None, help=about)
    add("--crop", type=values.positive, metavar="N", help="samples of a crop along an axis")
    add("--licence", metavar="TEXT", help="of the base; kept in it")
    add("--about", metavar="TEXT", help="what it was trained on; kept in it")
    command("list", "listed", "Say which bases are at hand")
    info = command("info", "described", "Say what a base is")
    info.add_argument("base", metavar="BASE", help="a name, how its hash begins, or a file")
    copy = command("add", "add", "Check a base and copy it to the user's folder")
    copy.add_argument("file", metavar="FILE", help="a .safetensors file")

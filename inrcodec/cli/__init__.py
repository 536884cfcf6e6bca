"""Joins the words of a command line with calls of the commands, and their ends with exit codes."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from inrcodec import __version__
from inrcodec.bitstream.wire import DEFAULT_LIMITS, MAJOR, MINOR
from inrcodec.cli import values
from inrcodec.cli.base_words import base_words
from inrcodec.cli.streams import finish_stdout, put, say
from inrcodec.errors import ExitCode, InrcodecError, LimitError
from inrcodec.fields.siren import COIN_NETS
from inrcodec.fitting.presets import DEFAULT_EFFORT, DEFAULT_QUALITY
from inrcodec.fitting.settings import AUTO, KINDS, TUNES
from inrcodec.fitting.siren_presets import EFFORT, FAMILIES, USUAL_FAMILY
from inrcodec.fitting.sparsify import PLAIN, SPARSIFY

# What a shell reports for a program that SIGPIPE or SIGTERM ended.
BROKEN_PIPE, TERMINATED = 141, 143

EXIT_CODES = "exit codes: " + ", ".join(
    f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (that of the process by default) and return its exit code."""
    try:
        args = parser().parse_args(argv)
    except SystemExit as done:
        finish_stdout(drop=True)
        return int(done.code or 0)
    except BrokenPipeError:
        return BROKEN_PIPE
    except InrcodecError as error:
        return _report(error)
    with _terminable():
        try:
            code = args.run(args)
            finish_stdout()
            return int(code)
        except BrokenPipeError:
            # The reader has seen enough; it is no failure that it has to hear of.
            return BROKEN_PIPE
        except KeyboardInterrupt:
            say("inrcodec: interrupted; nothing more was written")
            return ExitCode.INTERRUPTED
        except Exception as error:
            if args.debug:
                raise
            return _report(error)
        finally:
            finish_stdout(drop=True)


def _report(error: Exception) -> int:
    if isinstance(error, InrcodecError):
        say(f"inrcodec: {error}")
        return error.exit_code
    if isinstance(error, MemoryError):
        say("inrcodec: not enough memory; ask for a smaller --size or --crop, or a smaller picture")
        return LimitError.exit_code
    what = f"{type(error).__name__}: {error}"
    say(f"inrcodec: internal error: {what}; run again with --debug and report it")
    return ExitCode.INTERNAL


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the program, so that no unfinished file is left behind."""

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    # Only the main thread may do this, and only where nobody else has made arrangements.
    main_thread = threading.current_thread() is threading.main_thread()
    ours = main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


# Every command imports its own room: `--help` and `info` need neither numpy nor torch.


def _encode(args: argparse.Namespace) -> int:
    from inrcodec.cli.encode import encode

    return encode(args)


def _decode(args: argparse.Namespace) -> int:
    from inrcodec.query.threads import import_numpy

    import_numpy()
    from inrcodec.cli.decode import decode

    return decode(args)


def _info(args: argparse.Namespace) -> int:
    from inrcodec.cli.info import info

    return info(args)


def _compare(args: argparse.Namespace) -> int:
    from inrcodec.cli.compare import compare

    return compare(args)


class _Version(argparse.Action):
    """Looks for the native core only where somebody asks for it."""

    def __call__(self, *_: object) -> NoReturn:
        from inrcodec.native_choice import describe

        put(f"inrcodec {__version__}, format {MAJOR}.{MINOR}, {describe()}")
        raise SystemExit(ExitCode.OK)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line."""

    def __init__(self, **how: Any) -> None:
        # An abbreviation that works today would become ambiguous with the next new option.
        super().__init__(allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: error: {message}; see {self.prog} --help")
        raise SystemExit(ExitCode.USAGE)


class _Command(_Parser):
    """Takes options between files too, as in `encode a.png b.png -q 60 folder`."""

    _mixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._mixed or "--" in args:
            return super().parse_known_args(args, namespace)
        self._mixed = True
        try:
            known, extra = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixed = False
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return known, extra


def parser() -> argparse.ArgumentParser:
    """The whole command line: what its words are and which command they run."""
    top = _Parser(
        prog="inrcodec",
        description="Turn pictures and arrays into small neural fields and ask them back at any"
        " resolution.",
        epilog=EXIT_CODES,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="say what is installed")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)

    def command(name: str, run: Any, about: str) -> _Command:
        made = commands.add_parser(name, help=about, description=f"{about}.", epilog=EXIT_CODES)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="results as JSON, one line per file")
        made.add_argument("--debug", action="store_true", help="show where in the code it failed")
        return made

    _encode_words(command("encode", _encode, "Fit fields to pictures and arrays: .inrc files"))
    _decode_words(command("decode", _decode, "Compute what .inrc files hold, at any size"))
    about = "Say what .inrc files hold, without decoding them"
    info = command("info", _info, about)
    info.add_argument("inputs", nargs="+", metavar="IN", help="a .inrc file; - is standard input")
    info.add_argument("--version", action=_Version, nargs=0, help="say what is installed")
    compare = command("compare", _compare, "Measure how far two pictures or arrays are apart")
    compare.add_argument("reference", metavar="A", help="a picture, array or .inrc file")
    compare.add_argument("other", metavar="B", help="a picture, array or .inrc file of its size")
    _array_words(compare)
    base_words(commands, _Parser, EXIT_CODES)
    return top


def _files(words: _Command, made: str) -> None:
    words.add_argument(
        "inputs", nargs="+", metavar="IN", help="a file, a folder with all below it, or - (stdin)"
    )
    several = "a folder where IN are several or a folder"
    words.add_argument("output", metavar="OUT", help=f"{made}, or - (stdout); {several}")
    words.add_argument("-f", "--force", action="store_true", help="replace files that exist")
    words.add_argument("--quiet", action="store_true", help="report nothing but trouble")


def _encode_words(words: _Command) -> None:
    """Each `dest` is the name of a field of `fitting.settings.Settings` where it is one."""
    _files(words, "the .inrc file")
    usual = DEFAULT_QUALITY
    target = words.add_mutually_exclusive_group()
    add = target.add_argument
    add(
        "-q",
        "--quality",
        type=float,
        metavar="Q",
        help=f"0..100 ({usual:g}); every +12.5 a bit has to gain half as much (siren: +20 doubles"
        " the size)",
    )
    add("--bpp", type=float, metavar="X", help="bits per pixel of the whole file, at most")
    add("--target-size", type=values.count, metavar="N", help="bytes, at most; 12k is 12,000, 1.5M")
    add("--psnr", type=float, metavar="DB", help="PSNR in dB; pictures end within 0.1 of it")
    about = "the most that a sample may be off, in its unit or, as in 1%%, of the value range"
    add("--max-error", type=values.bound, metavar="E", help=about)
    about = "every sample of integers exactly: --max-error 0"
    add("--lossless", dest="max_error", action="store_const", const=0.0, help=about)
    add = words.add_argument
    about = f"what to keep small beside the size ({TUNES[0]})"
    add("--tune", choices=TUNES, help=about)
    efforts = f"{min(EFFORT)}..{max(EFFORT)}"
    about = f"higher is slower and smaller ({DEFAULT_EFFORT})"
    add("-e", "--effort", type=int, metavar=efforts, help=about)
    add("--max-time", type=float, metavar="S", help="seconds that the fit of a picture may take")
    add("--seed", type=int, metavar="N", help="of the random numbers (0)")
    add("--device", choices=("auto", "cpu", "cuda"), help="where to fit (auto)")
    add("-j", "--threads", type=values.positive, metavar="N", help="threads of the CPU to use")
    kept = ("icc", "all", "none")
    about = "what to keep: a picture's colour profile and an array's labels (icc), or more"
    add("--metadata", choices=kept, default="icc", help=about)
    _array_words(words)
    add = words.add_argument_group("for experiments").add_argument
    kinds = ", ".join((*KINDS, AUTO))
    about = f"kind of field: {kinds} ({KINDS[0]}; siren where --net is one of sines)"
    add("--kind", metavar="NAME", help=about)
    about = (
        "pyramid: hidden units of contexts / of synthesis / residual convolutions, as in "
        f"12-12/24/2; siren: sine layers x width, where COIN's are {', '.join(COIN_NETS)}"
    )
    add("--net", metavar="NET", help=about)
    about = f"siren: what its layers are made of: {', '.join(FAMILIES)} ({USUAL_FAMILY})"
    add("--activation", metavar="NAME", help=about)
    about = f"siren: frequency of its layers, or {AUTO}: by the signal's spectrum (sines 30)"
    add("--omega", type=values.omega, dest="omega_0", metavar="W", help=about)
    add("--steps", type=int, metavar="N", help="of the fit, before rounding")
    add("--base", metavar="NAME", help="of a modulated field: a name, or how its hash begins")
    add("--kept", type=int, help=argparse.SUPPRESS)
    add("--coarse", type=int, metavar="N", help="halvings of the lattice of a pyramid")
    about = f"siren: hidden weights as sums of atoms of a dictionary, SINR ({PLAIN})"
    add("--sparsify", choices=SPARSIFY, help=about)
    about = "edges, powers of 2, of the tiles that parts of an array are read in; volumes have some"
    add("--tile", type=values.shape, metavar="N,...", help=about)
    add("--mix", metavar="AXIS", help="code an array as a mixture of components along an axis")
    add("--rank", type=int, metavar="N", help="number of components of --mix")
    about = "squared error that a bit per pixel is worth"
    add("--lambda", type=float, dest="rate_weight", metavar="L", help=about)


def _array_words(words: _Command) -> None:
    """What array files do not say of themselves: names are those of `read_signal`'s arguments."""
    add = words.add_argument_group("arrays").add_argument
    add("--variable", metavar="NAME", help="which one, of a file with several")
    about = "names of the axes, as in z,y,x; one dimension more is that of the channels"
    add("--axes", type=values.names, metavar="NAMES", help=about)
    about = "IN is raw samples of this shape, as in 64,64,64"
    add("--shape", type=values.shape, metavar="N,...", help=about)
    add("--dtype", metavar="TYPE", help="and of this type, as in uint16 or >i2")
    about = "samples equal to it are missing, as NaN is: never fitted, and the same when decoded"
    add("--fill", type=float, metavar="V", help=about)


def _decode_words(words: _Command) -> None:
    _files(words, "a picture, .npy, .npz, .nii, .nii.gz, .nc, .zarr or .raw, as its suffix says")
    size = words.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, metavar="S", help="times the native size")
    size.add_argument("--size", type=values.size, metavar="WxH", help="or z=32,y=64 of an array")
    add = words.add_argument
    add("--crop", type=values.crop, metavar="X,Y,W,H", help="only this part, or z=0:10,y=5:20")
    about = "compute only these points: a .npy array [points, axes], of a picture row, column; 0 is"
    add("--at", metavar="POINTS.npy", help=f"{about} the first sample; the result is .npy, float32")
    about = "take what is left of a truncated or damaged file, at a lower quality"
    add("--partial", action="store_true", help=about)
    about = "png, jpeg, npy, nc, ... where no suffix says it (png; npy of arrays)"
    add("--format", metavar="NAME", help=about)
    about = f"most samples to compute, as in 500M ({DEFAULT_LIMITS.samples / 1e6:.0f}M)"
    add("--max-samples", type=values.count, metavar="N", help=about)
    about = f"most multiply-accumulates, as in 100T ({DEFAULT_LIMITS.macs / 1e12:.0f}T)"
    add("--max-macs", type=values.count, metavar="N", help=about)

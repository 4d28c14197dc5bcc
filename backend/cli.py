"""The command `spinscope`. Heavy imports wait until a command needs them, so that --help is quick."""

import argparse
import contextlib
import os
import secrets
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backend.settings import Settings
from backend.strict import clean, dumps, loads
from nqs_core.errors import NQSError


class CommandError(NQSError):
    """The command cannot do what was asked."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 2 for everything that a user can mend."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args) or 0
    except NQSError as error:
        sys.stderr.write(f"spinscope: {clean(str(error))}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("spinscope: interrupted\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: no second complaint at exit
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spinscope", description="Spin models with neural quantum states.")
    parser.add_argument("--version", action="version", version=f"spinscope {version('spinscope')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    folder = "folder of database and checkpoints; default: $SPINSCOPE_DATA or ~/.local/share/spinscope"

    serve = commands.add_parser(
        "serve", help="start the dashboard", description="Start the dashboard; Ctrl-C stops it."
    )
    serve.add_argument("--host", help="address to listen on; other than loopback needs a token; default: 127.0.0.1")
    serve.add_argument("--port", type=_port, help="0 picks a free one; default: 8000")
    serve.add_argument("--data-dir", type=Path, help=folder)
    serve.add_argument("--allowed-host", action="append", metavar="NAME", help="further host name of this server")
    serve.add_argument(
        "--no-browser", action="store_true", help="do not open a browser; where a token is needed, none is opened"
    )
    serve.set_defaults(command=_serve)

    run = commands.add_parser("run", help="run one configuration here, without a server")
    run.add_argument("config", metavar="CONFIG", help="JSON file, or - for standard input")
    run.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
    run.add_argument("--seed", type=int, metavar="N", help="instead of the configuration's seed")
    run.add_argument("--checkpoint", type=Path, metavar="FILE", help="write the final state, for a later --init-from")
    how = "start from a checkpoint or published weights, instead of what the configuration may name as init_from"
    run.add_argument("--init-from", type=Path, metavar="FILE", help=how)
    run.add_argument(
        "--data-dir",
        type=Path,
        help=f"{folder}; an init_from is a run, by its first characters, or a weights file of it",
    )
    run.set_defaults(command=_run)

    card = commands.add_parser(
        "card",
        help="say what a configuration is and takes, without running it",
        description="Parameters, receptive field, symmetry, memory and time of a configuration, and which samplers and "
        "optimizers fit; one that cannot run is refused with the reason.",
    )
    card.add_argument("config", metavar="CONFIG", help="JSON file, or - for standard input")
    card.add_argument("--json", action="store_true", help="print it as JSON")
    card.add_argument("--data-dir", type=Path, help=f"{folder}; its runs tell the speed of this device")
    card.set_defaults(command=_card)

    reference = commands.add_parser("reference", help="compute the lowest energies of a configuration")
    reference.add_argument("config", metavar="CONFIG", help="JSON file, or - for standard input")
    reference.add_argument("--levels", type=int, default=1, metavar="K", help="how many levels; default: 1")
    how = "auto: exact, else DMRG where that is too large; default: auto"
    reference.add_argument("--method", choices=("auto", "exact", "dmrg"), default="auto", help=how)
    reference.add_argument("--chi", type=_bonds, metavar="N,N,...", help="bond dimensions of DMRG, rising")
    reference.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
    reference.set_defaults(command=_reference)

    catalog = commands.add_parser("catalog", help="print the JSON schemas of every component")
    catalog.set_defaults(command=_catalog)

    export = commands.add_parser("export", help="write a run of the dashboard as one file")
    export.add_argument("run", metavar="RUN", help="the run's id or its first characters")
    export.add_argument("--format", choices=("json", "csv"), default="json")
    export.add_argument("--data-dir", type=Path, help=folder)
    export.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    export.set_defaults(command=_export)

    _add_ising(commands.add_parser("ising", help="simulate the classical 2D Ising model"))
    return parser


def _add_ising(ising: argparse.ArgumentParser) -> None:
    names = "metropolis (default), heat_bath, wolff, swendsen_wang or kawasaki"
    ising.add_argument("--size", type=int, default=64, metavar="L", help="sites along each axis; default: 64")
    ising.add_argument("--temperature", type=float, required=True, metavar="T", help="in J/k_B; critical at 2.2692")
    ising.add_argument("--field", type=float, default=0.0, metavar="H", help="in J; default: 0")
    ising.add_argument("--sweeps", type=int, default=500, metavar="N", help="a fifth is not measured; default: 500")
    ising.add_argument("--algorithm", default="metropolis", metavar="NAME", help=names)
    order = "of the sites: random (default), sequential or checkerboard, unphysical in a quench by metropolis"
    ising.add_argument("--order", metavar="NAME", help=order)
    ising.add_argument("--start", default="random", metavar="HOW", help="random (default) or up")
    ising.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    ising.add_argument("--gif", type=Path, metavar="FILE", help="write an animation of the lattice")
    ising.set_defaults(command=_ising)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; choose 0 to 65535")
    return int(text)


def _bonds(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 7 for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of bond dimensions such as 25,50,100,200")
    return tuple(int(word) for word in words)


def _settings(**given: Any) -> Settings:
    if given.get("data_dir") is None and "SPINSCOPE_DATA" not in os.environ and os.environ.get("XDG_DATA_HOME"):
        given["data_dir"] = Path(os.environ["XDG_DATA_HOME"]) / "spinscope"
    try:
        return Settings.from_env(**given)
    except (ValueError, RuntimeError) as error:
        raise CommandError(str(error)) from None


def _serve(args: argparse.Namespace) -> int:
    from backend import serve
    from backend.guard import is_loopback

    names = tuple(args.allowed_host) if args.allowed_host else None
    settings = _settings(data_dir=args.data_dir, host=args.host, port=args.port, allowed_hosts=names)
    if not is_loopback(settings.host) and not settings.token:
        token = secrets.token_urlsafe(24)
        settings = _settings(data_dir=args.data_dir, host=args.host, port=args.port, allowed_hosts=names, token=token)
    return serve.serve(settings, browser=not args.no_browser)


def read_config(source: str, seed: int | None = None) -> Any:
    """The configuration in a file, or on standard input for "-".

    Raises:
        NQSError: the file is not there, not readable, not JSON or no configuration.
    """
    from nqs_core.config import parse

    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandError(f"cannot read {source}: {reason}") from None
    try:
        data = loads(raw)
    except NQSError as error:
        raise CommandError(f"{source}: {error}") from None
    if seed is not None and isinstance(data, dict):
        data["seed"] = seed
    return parse(data)


def check_writable(out: Path | None) -> None:
    """Refuse a place for the result before hours are spent on it.

    Raises:
        CommandError: nothing can be written there.
    """
    if out is None:
        return
    if out.is_dir():
        raise CommandError(f"cannot write {out}: it is a folder")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise CommandError(f"cannot write {out}: there is no folder {folder}")
    if not os.access(out if out.exists() else folder, os.W_OK):
        raise CommandError(f"cannot write {out}: permission denied")


def write(out: Path, content: bytes) -> None:
    """Write a result.

    Raises:
        CommandError: the disk or the folder does not take it.
    """
    try:
        out.write_bytes(content)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror or error}") from None


def _run(args: argparse.Namespace) -> int:
    config = read_config(args.config, args.seed)
    check_writable(args.out)
    check_writable(args.checkpoint)
    _prepare_jax()
    from backend import console, starts

    start = starts.find_start(config, args.init_from, lambda: _settings(data_dir=args.data_dir))
    console.run(config, args.out, args.checkpoint, start)
    return 0


def _card(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    _prepare_jax()
    from backend import console_card

    console_card.run(config, _settings(data_dir=args.data_dir), args.json)
    return 0


def _reference(args: argparse.Namespace) -> int:
    if args.chi is not None and args.method == "exact":
        raise CommandError("--chi belongs to --method dmrg")
    config = read_config(args.config)
    check_writable(args.out)
    _prepare_jax()
    from backend import console

    console.reference(config, args.levels, args.out, args.method, args.chi)
    return 0


def _catalog(_: argparse.Namespace) -> int:
    from nqs_core.catalog import catalog

    _out(dumps(catalog(), pretty=True))
    return 0


def _export(args: argparse.Namespace) -> int:
    check_writable(args.out)
    settings = _settings(data_dir=args.data_dir)
    from backend import export, lookup

    engine = lookup.open_runs(settings)
    content = export.export(engine, lookup.find_run(engine, settings, args.run), args.format)[2]
    if args.out:
        write(args.out, content)
    else:
        _out(content)
    return 0


def _ising(args: argparse.Namespace) -> int:
    from backend import ising

    return ising.command(args)


def _out(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _prepare_jax() -> None:
    """JAX reads this when it is imported."""
    settings = _settings()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        settings.data_dir.parent.mkdir(parents=True, exist_ok=True)
        settings.data_dir.mkdir(0o700, exist_ok=True)
        settings.data_dir.joinpath("jax-cache").mkdir(0o700, exist_ok=True)
    for name, value in {**settings.computing(), "TF_CPP_MIN_LOG_LEVEL": "2"}.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    sys.exit(main())

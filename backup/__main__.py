"""`pgproof` and `kubectl pgproof` start here, as scripts and as `python -m backup`.

Quiet also where Ctrl-C comes before anything else.
"""

import signal


def main() -> None:
    """Run the command line."""
    _stay_quiet()
    from backup.cli.main import main as run  # noqa: PLC0415 -- not before the line above

    run()


def kubectl() -> None:
    """Run that of the kubectl plugin."""
    _stay_quiet()
    from backup.cli.main import main as run  # noqa: PLC0415 -- not before the line above
    from backup.cli.plugin import plugin  # noqa: PLC0415 -- the same

    run(plugin)


def _stay_quiet() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while modules are still being imported


if __name__ == "__main__":
    main()

"""`pgproof` starts here, as a script and as `python -m backup`: quiet also where Ctrl-C comes before anything else."""

import signal


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while modules are still being imported
    from backup.cli.main import main as run  # noqa: PLC0415 -- not before the line above

    run()


if __name__ == "__main__":
    main()

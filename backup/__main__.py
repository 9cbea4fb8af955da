"""`python -m backup` is `pgproof`."""

from backup.cli.main import main

if __name__ == "__main__":
    main()

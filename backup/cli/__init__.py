"""The command line: one file a command, thin. The only importer of click and rich."""

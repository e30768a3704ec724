"""The command line: one module per subcommand, found by :mod:`hoimg.cli.main`."""

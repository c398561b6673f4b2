"""The `keras-compress` command: one module a subcommand, nothing heavy imported up front."""

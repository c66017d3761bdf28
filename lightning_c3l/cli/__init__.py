"""The command line: `main` is the table of verbs, `trainer` the LightningCLI, and each other file a verb."""

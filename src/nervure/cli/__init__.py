"""The command line, one file a command: it parses, calls, and prints."""


def main() -> None:
    """Entry point of the ``nervure`` command."""
    from nervure.cli.app import main as run

    run()

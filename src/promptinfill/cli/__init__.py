"""The command line. Everything heavy is imported by the command that needs it, when it runs."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``arguments`` defaults to ``sys.argv[1:]``."""
    from promptinfill.cli.app import run

    return run(arguments)

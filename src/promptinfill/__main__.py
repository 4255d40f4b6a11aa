"""``python -m promptinfill``: the command line."""

import sys

from promptinfill.cli import main

if __name__ == "__main__":
    sys.exit(main())

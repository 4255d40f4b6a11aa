"""One comparison a file; ``run.py`` knows them by name."""

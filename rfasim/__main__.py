"""``python -m rfasim`` is the command ``rfasim``."""

import sys

from rfasim.cli import main

if __name__ == "__main__":
    sys.exit(main())

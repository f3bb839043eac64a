"""``python -m detect`` is ``detect``."""

import sys

from detect.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

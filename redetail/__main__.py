"""``python -m redetail``: the same as the ``redetail`` command."""

import sys

from redetail.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

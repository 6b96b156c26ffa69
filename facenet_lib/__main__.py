"""``python -m facenet_lib`` is the command ``facenet``."""

import sys

from facenet_lib.cli.commands import main

sys.exit(main())

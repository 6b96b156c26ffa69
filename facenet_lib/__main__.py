"""``python -m facenet_lib`` is the command ``facenet``."""

import sys

from facenet_lib.cli.facenet import main

sys.exit(main())

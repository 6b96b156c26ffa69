"""What `pytest --nbmake` needs to know before it runs a chapter."""

from user_paths import resolve_user_paths

resolve_user_paths()

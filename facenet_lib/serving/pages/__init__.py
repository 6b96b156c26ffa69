"""The page that the local server shows to people: files to send, no code of Python.

``index.html`` with ``style.css`` and ``script.js``, three files so that a strict
Content-Security-Policy (``default-src 'self'``) lets them work and nothing else; where a gallery
is served, ``who.css`` and ``who.js`` beside them.
"""

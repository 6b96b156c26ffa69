"""FaceNet rebuilt in today's TensorFlow: the library behind the book.

Each module is taught by one chapter and proved by one test file: ``facenet_lib.center_loss``
by ``book/05_center_loss.ipynb`` and ``tests/test_center_loss.py``. Importing this package
loads no TensorFlow; import the module that you need.
"""

__version__ = "0.1.0"

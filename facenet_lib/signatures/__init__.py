"""What a served model answers: the functions around a network, and requests to warm up with.

An exported SavedModel holds these functions; a server whose networks another runtime computes makes
them itself, so that both answer alike.
"""

from facenet_lib.signatures.functions import DISTANCE_OF_INVALID, serving_functions

__all__ = ["DISTANCE_OF_INVALID", "serving_functions"]

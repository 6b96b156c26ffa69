"""From embeddings to names: galleries, thresholds, strangers, albums, and how good all that is.

TensorFlow is not loaded, nor is faiss before an index is built, nor pyarrow before shards are read.
"""

from facenet_lib.recognition.approximate import ApproximateIndex, build_index
from facenet_lib.recognition.calibration import (
    Calibration,
    Reliability,
    fit_calibration,
    reliability_curve,
)
from facenet_lib.recognition.classification import (
    CLASSIFIERS,
    FaceClassifier,
    train_classifier,
)
from facenet_lib.recognition.clustering import (
    CLUSTERING_METHODS,
    ClusterAgreement,
    bcubed_agreement,
    cluster,
    pairwise_agreement,
)
from facenet_lib.recognition.embedding_cache import embed_resumably
from facenet_lib.recognition.embedding_shards import EmbeddingShards, open_shards
from facenet_lib.recognition.enrolment import (
    EnrolmentProblem,
    check_enrolment,
    measure_sharpness,
)
from facenet_lib.recognition.fingerprint import Fingerprint, take_fingerprint
from facenet_lib.recognition.gallery import Gallery, GalleryThreshold
from facenet_lib.recognition.groups import GroupRates, rates_by_group
from facenet_lib.recognition.identification import Identification, identify
from facenet_lib.recognition.measures import (
    OpenSetCurve,
    OpenSetRates,
    bootstrap_interval,
    cumulative_match_rates,
    measure_open_set,
    rank_own_people,
)
from facenet_lib.recognition.search import distances_to_people, nearest_rows
from facenet_lib.recognition.thresholds import (
    ChosenThreshold,
    choose_threshold,
    false_positive_rate_of_gallery,
)

__all__ = [
    "CLASSIFIERS",
    "CLUSTERING_METHODS",
    "ApproximateIndex",
    "Calibration",
    "ChosenThreshold",
    "ClusterAgreement",
    "EmbeddingShards",
    "EnrolmentProblem",
    "FaceClassifier",
    "Fingerprint",
    "Gallery",
    "GalleryThreshold",
    "GroupRates",
    "Identification",
    "OpenSetCurve",
    "OpenSetRates",
    "Reliability",
    "bcubed_agreement",
    "bootstrap_interval",
    "build_index",
    "check_enrolment",
    "choose_threshold",
    "cluster",
    "cumulative_match_rates",
    "distances_to_people",
    "embed_resumably",
    "false_positive_rate_of_gallery",
    "fit_calibration",
    "identify",
    "measure_open_set",
    "measure_sharpness",
    "nearest_rows",
    "open_shards",
    "pairwise_agreement",
    "rank_own_people",
    "rates_by_group",
    "reliability_curve",
    "take_fingerprint",
    "train_classifier",
]

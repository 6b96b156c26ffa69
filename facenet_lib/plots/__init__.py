"""The figures of the book, a module a chapter.

Each function returns the :class:`matplotlib.figure.Figure` it made; a notebook shows it by
ending a cell with the call.
"""

from facenet_lib.plots.alignment import (
    crop_moves,
    crop_sensitivity,
    detection_by_bin,
    faces_and_crops,
    found_faces,
    pyramid_levels,
    suppressed_boxes,
)
from facenet_lib.plots.book_style import COLORS, GREY, NARROW, WIDTH, Table, style
from facenet_lib.plots.center_loss import center_errors, face_map, feature_clusters
from facenet_lib.plots.export import threshold_trade, throughput
from facenet_lib.plots.index_queue import index_stream, outcome_counts, shuffle_orders, times_seen
from facenet_lib.plots.input_pipeline import image_grid, pixel_tables, value_distributions
from facenet_lib.plots.lfw_pairs import (
    pair_distances,
    pair_sheet,
    roc_curves,
    threshold_choice,
    threshold_sweep,
)
from facenet_lib.plots.network import (
    network_stages,
    rates_and_limits,
    similarity_matrices,
    unit_circle,
)
from facenet_lib.plots.published import accuracies
from facenet_lib.plots.recognition import (
    album,
    cluster_sweep,
    gallery_on_a_circle,
    group_rates,
    match_rates,
    open_set_curves,
    reliability,
    strangers_named,
)
from facenet_lib.plots.serving import answers_over_time, service_load
from facenet_lib.plots.training import run_comparison, run_report
from facenet_lib.plots.triplet_loss import loss_comparison, negatives_on_a_line

__all__ = [
    "COLORS",
    "GREY",
    "NARROW",
    "WIDTH",
    "Table",
    "accuracies",
    "album",
    "answers_over_time",
    "center_errors",
    "cluster_sweep",
    "crop_moves",
    "crop_sensitivity",
    "detection_by_bin",
    "face_map",
    "faces_and_crops",
    "feature_clusters",
    "found_faces",
    "gallery_on_a_circle",
    "group_rates",
    "image_grid",
    "index_stream",
    "loss_comparison",
    "match_rates",
    "negatives_on_a_line",
    "network_stages",
    "open_set_curves",
    "outcome_counts",
    "pair_distances",
    "pair_sheet",
    "pixel_tables",
    "pyramid_levels",
    "rates_and_limits",
    "reliability",
    "roc_curves",
    "run_comparison",
    "run_report",
    "service_load",
    "shuffle_orders",
    "similarity_matrices",
    "strangers_named",
    "style",
    "suppressed_boxes",
    "threshold_choice",
    "threshold_sweep",
    "threshold_trade",
    "throughput",
    "times_seen",
    "unit_circle",
    "value_distributions",
]

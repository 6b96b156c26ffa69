"""In which order the chapters run, two at a time: the longest first."""

LONGEST_FIRST = (
    "11_pretrained",
    "06_training",
    "09_triplet_loss",
    "13_scaling",
    "07_export",
    "08_serving",
    "04_network",
    "05_center_loss",
    "03_input_pipeline",
    "01_lfw_pairs",
    "02_index_queue",
)

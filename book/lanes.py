"""In which order the chapters run, two at a time, and which of them wait for another."""

LONGEST_FIRST = (
    "06_training",
    "09_triplet_loss",
    "11_pretrained",
    "13_scaling",
    "08_serving",
    "07_export",
    "04_network",
    "05_center_loss",
    "01_lfw_pairs",
    "03_input_pipeline",
    "02_index_queue",
)

TRAINS = "06_training"
USE_WHAT_IT_TRAINED = ("07_export", "08_serving", "11_pretrained")

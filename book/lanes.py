"""Which chapters run one after the other, by ``make book`` and by ``make test``.

A lane takes about as long as the other. Chapters 7, 8 and 11 use the network that chapter 6 trains.
"""

LANES = (
    ("06_training", "11_pretrained", "07_export", "08_serving"),
    (
        "09_triplet_loss",
        "13_scaling",
        "04_network",
        "01_lfw_pairs",
        "05_center_loss",
        "03_input_pipeline",
        "02_index_queue",
    ),
)

"""Where the time of a TensorFlow step goes, by type of operation."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tensorflow.tsl.profiler.protobuf import xplane_pb2

_OPERATION = re.compile(r"[^:\s]+:(\w+)")  # "path/of/the/node:Type"; other events have spaces
_CALLS = re.compile(r"(Stateful)?PartitionedCall|If|While")  # their time is that of what they call


def operation_times(folder: Path) -> dict[str, float]:
    """Milliseconds by type of operation, most first, from what tf.profiler wrote to a folder.

    Operations that ran at the same time count each for itself, so that the sum may be more than
    the clock's.
    """
    (file,) = folder.glob("plugins/profile/*/*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    times: Counter[str] = Counter()
    for plane in (plane for plane in space.planes if plane.name == "/host:CPU"):
        for event in (event for line in plane.lines for event in line.events):
            matched = _OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
            if matched and not _CALLS.fullmatch(matched[1]):
                times[matched[1].removeprefix("_MklNative")] += event.duration_ps / 1e9
    return dict(times.most_common())

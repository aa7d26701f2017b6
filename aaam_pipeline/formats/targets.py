"""What is known of a label of an image: `targets`, int8, in prepared data, losses, scores and metrics.

1: the image has the label; 0: it has not; -1: nobody has said. What is unknown is no part of a loss, of a threshold, of
a calibration or of a metric.
"""

UNKNOWN = -1

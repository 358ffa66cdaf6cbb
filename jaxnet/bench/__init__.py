"""Benchmarks: how fast this machine classifies images, and how close that is to its limits.

    for report in measure(params):                # limits, rates and stages, as they are measured
        print(report.rates[-1:])
    limits = measure_limits(jax.devices()[0])     # memory, transfer and arithmetic
    roofline_limit(work_per_image(params), limits, "float32")  # (images per second, "memory")

Classifying an image takes a certain number of bytes and operations, so memory bandwidth, transfer
bandwidth and arithmetic rate each put a ceiling on the throughput. All are measured; none comes
from a data sheet. `jaxnet bench` prints the report, or plots it.

Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
"""

from jaxnet.bench._limits import Limits as Limits
from jaxnet.bench._limits import measure_limits as measure_limits
from jaxnet.bench._measure import Rate as Rate
from jaxnet.bench._measure import Report as Report
from jaxnet.bench._measure import Stage as Stage
from jaxnet.bench._measure import Work as Work
from jaxnet.bench._measure import measure as measure

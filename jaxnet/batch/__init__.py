"""Batch jobs: files of images in, files of answers out.

    classify_files(["scans/**/*.png"], output="answers.csv")
    classify_files("digits.npy", output="answers/", resume=True)  # shards and a manifest

A job never loads more than a few chunks: it reads and prefetches the next images while it
classifies the current ones. A file of answers appears whole or not at all; a folder of shards
survives a kill at any moment, and resuming it gives byte-identical output. For many machines, the
module `jaxnet.batch.cluster` does the same with Ray Data.

From ten images to a trillion: an image is 784 bytes, a billion are 784 GB, and the slowest step
decides how long it takes.

| step | images per second | a billion | a trillion |
| --- | ---: | ---: | ---: |
| photos (JPEG, 3000×2000), two cores | 43 | 9 months | 740 years |
| pictures (PNG, 280×280), two cores | 1,100 | 11 days | 29 years |
| pictures (PNG, 28×28), two cores | 34,000 | 8 hours | 11 months |
| `.npy` to Parquet with `brightest`, two cores | 0.8 million | 20 minutes | 14 days |
| `.npy` to `.npy` with `brightest`, two cores | 2.6 million | 6 minutes | 4.5 days |
| `jaxnet.classify` in memory, two cores | 5.7 million | 3 minutes | 2 days |
| *a network of 10 Gbit/s* | 1.6 million | 10 minutes | 7 days |
| *a disk of 3 GB/s* | 3.8 million | 4 minutes | 3 days |
| `jaxnet.classify` from the host's memory, one H200 | 21 million | 48 seconds | 13 hours |
| *a bus of 64 GB/s, into a GPU* | 82 million | 12 seconds | 3.4 hours |
| images in an H200's memory, `examples/gpu_kernel.py` | 3.1 billion | 0.3 seconds | 5 minutes |

The rates on two cores (a shared Xeon with AVX-512 VNNI) were measured by `python -m
tests.benchmarks inference`, those of pictures (a shared EPYC) by `python -m tests.benchmarks
pictures`, those on an H200 by `python -m tests.benchmarks gpu`; `jaxnet bench`
measures yours. Lines in italics are nominal bandwidths over 784 bytes. So store images as bytes in
one file: decoding one picture costs as much as classifying five thousand images. On one GPU, the
copies from the host are the limit. A hundred machines read a trillion images in 1.7 hours over
10 Gbit/s each, so in the end neither the neural network nor the processors are the bottleneck.
"""

from jaxnet.batch._files import classify_files as classify_files
from jaxnet.batch._jobs import Tally as Tally

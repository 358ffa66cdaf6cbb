"""Classifying digits with Ray Data: Parquet in, two local workers, Parquet out.

For more machines, pass the address of a cluster to `ray.init`; the rest stays the same.
"""

import logging
import os
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

import jaxnet
from jaxnet.batch import cluster

warnings.filterwarnings("ignore", category=DeprecationWarning, module="ray")  # about itself
logging.getLogger("ray.data").setLevel(logging.ERROR)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False

# %% Ten thousand synthetic digits, with their numbers and labels, in four files.
images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 10_000)
pixels = (255 * np.asarray(images)).astype(np.uint8)
table = pa.table(
    {
        "number": range(10_000),
        "label": np.asarray(labels),
        "image": [row.tobytes() for row in pixels],
    }
)
folder = Path(tempfile.mkdtemp())
(folder / "digits").mkdir()
for n in range(4):
    pq.write_table(table.slice(2_500 * n, 2_500), folder / "digits" / f"{n}.parquet")

# %% Datasets are lazy: writing the answers, without the images, starts the work.
began = time.perf_counter()
dataset = cluster.read(folder / "digits")
answers = cluster.classify(dataset, jaxnet.pretrained(), workers=2)
answers.drop_columns(["image"]).write_parquet(str(folder / "answers"))
print(f"{time.perf_counter() - began:.0f} s, mostly to start the workers")
ray.shutdown()

# %% The answers are plain Parquet files.
answers = pq.read_table(folder / "answers").sort_by("number")
print(answers.schema.remove_metadata())
correct = answers["digit"].to_numpy() == answers["label"].to_numpy()
print(
    f"{len(answers)} rows, each exactly once: {answers['number'].to_pylist() == [*range(10_000)]}"
)
print(f"accuracy {correct.mean():.1%}")

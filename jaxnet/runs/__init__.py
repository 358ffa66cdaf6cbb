"""Training runs on disk: configured by name, checkpointed after every epoch, resumable.

    options = Options(optimizer="adam", epochs=15, ensemble=8)
    images, labels, described = load_data(["mnist"])
    for progress in train(options, images, labels, "run.checkpoint", resume=True):
        print(progress.history.cost[-1])

An interrupted run that is resumed is bit-identical to one that was not: each epoch's key is derived
from the seed and the epoch's number, and the checkpoint holds everything else exactly.
"""

from jaxnet.runs._options import AUGMENTS as AUGMENTS
from jaxnet.runs._options import COSTS as COSTS
from jaxnet.runs._options import OPTIMIZERS as OPTIMIZERS
from jaxnet.runs._options import SCHEDULES as SCHEDULES
from jaxnet.runs._options import Options as Options
from jaxnet.runs._run import Diverged as Diverged
from jaxnet.runs._run import Progress as Progress
from jaxnet.runs._run import load_data as load_data
from jaxnet.runs._run import train as train

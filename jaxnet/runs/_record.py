"""What a run leaves on disk: the best network, the record, and all members."""

import json
import math
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, check_free, exists_already, replacing
from jaxnet.formats import save
from jaxnet.runs._run import Options, Progress


def check_output(output: Path, inputs: Iterable[str], *, replace: bool) -> None:
    """Fails before training starts if `save_run` would fail or overwrite something."""
    if output.suffix.lower() != ".safetensors":
        raise FileError(f"{output}: networks are saved as .safetensors; use that ending.")
    read = [*map(Path, inputs)]
    check_free(output)
    for suffix in (".safetensors", ".json", ".png", ".members", ".checkpoint"):
        path = output.with_suffix(suffix)
        if path.exists() and path.is_dir() != (suffix == ".members"):
            raise FileError(f"{path}: something else has this name; choose another output.")
        if not path.is_dir():
            check_free(path, read)
        if path.exists() and suffix != ".checkpoint" and not replace:
            raise exists_already(path)


def is_finished(output: Path, identity: dict[str, str]) -> bool:
    """Whether a run with this identity has saved its network and record here."""
    try:
        return output.exists() and (
            json.loads(output.with_suffix(".json").read_bytes())["identity"] == identity
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_run(
    progress: Progress,
    options: Options,
    output: Path,
    *,
    trained_on: str,
    identity: dict[str, str],
) -> None:
    """Saves the best network, the record, and an ensemble's members; the network last."""
    best, h = progress.best, progress.history
    words = {
        "trained on": trained_on + f" but {options.validation:.0%}" * (h.validation is not None),
        "trained by": f"{options.optimizer}, rate {options.rate:g}, {options.schedule} schedule, "
        f"{options.epochs} epochs, batches of {options.batch_size}, {options.cost}, "
        f"augmentation {options.augment}, seed {options.seed}",
        "jaxnet": version("jaxnet-digits"),
    }
    if h.validation is not None:
        words["validation accuracy"] = f"{100 * h.validation.accuracy[-1, best]:.2f} %"
    if options.ensemble > 1:
        words["chosen from"] = f"{options.ensemble} starts; number {best} is the best"
    _write_members(progress, options, output.with_suffix(".members"))
    numbers: dict[str, Any] = {"cost": h.cost, "accuracy": h.accuracy}
    if h.validation is not None:
        numbers |= {
            "validation_cost": h.validation.cost,
            "validation_accuracy": h.validation.accuracy,
        }
    record = {
        **words,
        "options": options._asdict(),
        "best": best,
        "history": {name: _rows(a) for name, a in numbers.items()},
        "seconds": round(progress.seconds, 3),
        "device": jax.devices()[0].device_kind,
        "versions": {name: version(name) for name in ("jax", "jaxlib", "optax", "numpy")},
        "identity": identity,
    }
    with replacing(output.with_suffix(".json")) as file:
        file.write(json.dumps(record, indent=1, allow_nan=False).encode())
    save(output, _member(progress, best), squash=options.squash, notes=words)


def _write_members(progress: Progress, options: Options, folder: Path) -> None:
    for earlier in folder.glob("[0-9]*.safetensors"):
        earlier.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if options.ensemble == 1:
        return
    folder.mkdir(exist_ok=True)
    for n in np.flatnonzero(np.isfinite(progress.history.cost[-1])).tolist():
        save(folder / f"{n:04}.safetensors", _member(progress, n), squash=options.squash)


def _member(progress: Progress, n: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[n], progress.params)


def _rows(values: NDArray[Any]) -> list[list[float | None]]:
    """One list per member; JSON cannot hold numbers that are not finite."""
    return [[v if math.isfinite(v) else None for v in row] for row in values.T.tolist()]

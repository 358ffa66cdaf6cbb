"""What every benchmark prints."""

import json


def report(name: str, ours: float, peer: float, unit: str, **more: object) -> None:
    """Prints a figure beside its peer's, as one JSON object on a line."""
    figures = {"ours": round(ours, 4), "peer": round(peer, 4), "ratio": round(ours / peer, 3)}
    print(json.dumps({"name": name, **figures, "unit": unit, **more}), flush=True)

"""Stage `figures`: a data set's recordings, scores and models -> Fig. 2, 4 and 5 of the paper as PNG and SVG."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.project import HERE


def main(dataset: str, out: Path, device: str = "auto") -> None:
    """Draw the figures of `dataset` into `out`."""
    with cli_errors():
        # inside cli_errors: it needs the extra `research`
        from aaam_pipeline.figures import build

        phases = {"Baseline": "bce", "AAAM": "hard"}
        request = build.FigureRequest(HERE.prepared(dataset), out / "prediction_paths")
        rows, _ = build.find_recordings(HERE.recordings(dataset))
        build.draw_paths(rows, request)
        scores = {name: HERE.scores(dataset, phase) for name, phase in phases.items()}
        build.draw_bars(scores, request._replace(out=out / "score_bars"))
        bundles = {name: HERE.bundle(dataset, phase) for name, phase in phases.items()}
        build.draw_maps(bundles, request._replace(out=out / "activation_maps"), device=device)


if __name__ == "__main__":
    typer.run(main)

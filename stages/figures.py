"""Stage `figures`: a data set's recordings, scores and models -> Fig. 2, 4 and 5 of the paper as PNG and SVG."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors


def main(dataset: str, out: Path, device: str = "auto") -> None:
    """Draw the figures of `dataset` into `out`."""
    with cli_errors():
        # inside cli_errors: it needs the extra `research`
        from aaam_pipeline.figures import build

        scores, models = Path("scores", dataset), Path("models", dataset)
        request = build.Request(Path("data/prepared", dataset), out / "prediction_paths")
        rows, _ = build.recorded(Path("plots", dataset, "paths"))
        build.paths(rows, request)
        both = {"Baseline": scores / "bce.parquet", "AAAM": scores / "hard.parquet"}
        build.bars(both, request._replace(out=out / "score_bars"))
        bundles = {"Baseline": models / "bce", "AAAM": models / "hard"}
        build.maps(bundles, request._replace(out=out / "activation_maps"), device=device)


if __name__ == "__main__":
    typer.run(main)

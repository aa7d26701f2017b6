"""What is not in the plain installation: which extra brings a package, and the one line that says that it is missing.

The extras are those of pyproject.toml. Names are those that are imported, not those that are installed.
"""

from importlib.util import find_spec

from aaam_pipeline.core.errors import UsageError

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "nncf"),
    "research": ("dvc", "matplotlib", "sklearn", "scipy"),
    "heic": ("pi_heif",),
    "s3": ("s3fs",),
    "gcs": ("gcsfs",),
    "ray": ("ray",),
}


def installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    try:
        return find_spec(package) is not None
    except ValueError:
        # imported, or kept from being so, by something that gave it no spec
        return False


def need(extra: str, *packages: str) -> None:
    """Check that an extra's packages (those named, or all of them) are there.

    Raises:
        UsageError: one is not; the message says how to install it.
    """
    for package in packages or EXTRAS[extra]:
        if not installed(package):
            raise UsageError(f"{package} is not installed: {how_to_install(extra)}")


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra: from an index, and from a checkout, which may be all there is."""
    return f"pip install 'aaam-pipe[{extra}]', in a checkout pip install '.[{extra}]'"


def explain(error: ModuleNotFoundError) -> str | None:
    """Return the line for an import that failed, where what is missing is of an extra."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    return f"{package} is not installed: {how_to_install(extra)}" if extra else None

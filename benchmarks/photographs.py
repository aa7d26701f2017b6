"""Photographs of a free licence that installed packages ship, for `make demo`: `python -m benchmarks.photographs OUT`.

scikit-image's are in the public domain or CC0, scikit-learn's CC BY 2.0 (its `datasets/images/README.txt` names the
authors), matplotlib's in the public domain. Some of scikit-image's are no everyday photographs: a model should say so.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

# package -> its folder of pictures, and those to take
SHIPPED = {
    "skimage": (
        "data",
        "astronaut.png camera.png chelsea.png coffee.png grass.png page.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "matplotlib": ("mpl-data/sample_data", "grace_hopper.jpg"),
}


def copy_photographs(out: Path) -> list[Path]:
    """Copy the photographs of the packages that are installed into `out`; return where they are."""
    out.mkdir(parents=True, exist_ok=True)
    copied = []
    for package, (folder, names) in SHIPPED.items():
        found = find_spec(package)
        for home in (found and found.submodule_search_locations) or ():
            files = [Path(home, folder, name) for name in names.split()]
            # another version of the package may lack one
            copied += [Path(shutil.copyfile(file, out / file.name)) for file in files if file.is_file()]
    return copied


if __name__ == "__main__":
    print(len(copy_photographs(Path(sys.argv[1]))), "photographs that installed packages ship:", sys.argv[1])

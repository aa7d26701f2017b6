"""The publishers' files: the ONE list of addresses, with mirrors, sizes, and checksums where they are known.

`md5`: these files are published without checksums. COCO's are those of the files as people have had them for
years: the ETag of the annotations on the publisher's server, and what PaddleDetection, LAVIS and others check against.
Where there is none, the size that the server announces is checked, and what the archive itself can check.
`bytes` and `unpacked` are exact where `exact` says so, else estimates.
"""

from typing import NamedTuple

MB, GB = 10**6, 10**9


class Archive(NamedTuple):
    """An archive: its name, also below a mirror; its addresses, tried in this order; which of its files are unpacked.

    `members`: the beginnings of the names to unpack, after folders that lead to them; empty: all. `unpacked`: the most
    bytes that it may unpack to.
    """

    name: str
    addresses: tuple[str, ...]
    bytes: int
    unpacked: int
    exact: bool = False
    md5: str | None = None
    members: tuple[str, ...] = ()


def _coco(path: str, bytes: int, unpacked: int, md5: str, *members: str) -> Archive:
    # the publisher's name has no valid certificate, the bucket behind it has one
    addresses = (
        f"http://images.cocodataset.org/{path}",
        f"https://s3.amazonaws.com/images.cocodataset.org/{path}",
    )
    return Archive(path.split("/")[1], addresses, bytes, unpacked, True, md5, members)


def _nus(name: str, bytes: int, unpacked: int, *members: str) -> Archive:
    addresses = (
        f"https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/{name}",
        f"http://dl.nextcenter.org/public/nuswide/{name}",
    )
    return Archive(name, addresses, bytes, unpacked, members=members)


COCO2014 = (
    _coco(
        *("annotations/annotations_trainval2014.zip", 252_872_794, GB, "0a379cfc70b0e71301e0f377548639bd"),
        "annotations/instances_",
    ),
    _coco("zips/train2014.zip", 13_510_573_713, 15 * GB, "0da8c0bd3d6becc4dcb32757491aca88"),
    _coco("zips/val2014.zip", 6_645_013_297, 8 * GB, "a3d79f5ed8d289b7a7554ce06a5782b3"),
)
IAPRTC12 = (
    Archive(
        "iaprtc12.20091111.tar.bz2",
        (
            "https://lear.inrialpes.fr/people/guillaumin/data/iccv09/iaprtc12.20091111.tar.bz2",
            "http://lear.inrialpes.fr/people/guillaumin/data/iccv09/iaprtc12.20091111.tar.bz2",
        ),
        *(500 * MB, 50 * MB),
        members=(
            "iaprtc12_dictionary",
            *(f"iaprtc12_{part}_{kind}" for part in ("train", "test") for kind in ("list", "annot")),
        ),
    ),
    Archive(
        "iaprtc12.tgz",
        ("http://www-i6.informatik.rwth-aachen.de/imageclef/resources/iaprtc12.tgz",),
        *(1800 * MB, 4 * GB),
        members=("images/",),
    ),
)
# the photographs are handed out on request only
NUSWIDE = (
    _nus("ImageList.zip", 5 * MB, 100 * MB, "TrainImagelist", "TestImagelist"),
    _nus("ConceptsList.zip", MB, 10 * MB, "Concepts81.txt"),
    _nus("Groundtruth.zip", 10 * MB, 500 * MB, "TrainTestLabels/"),
)
NUSWIDE_PAGE = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
NUSWIDE_URLS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE-urls.rar"


def addresses(archive: Archive, mirror: str | None) -> tuple[str, ...]:
    """Return where to get an archive: from the user's mirror, and then from nowhere else, or from its publisher."""
    return (f"{mirror.rstrip('/')}/{archive.name}",) if mirror else archive.addresses

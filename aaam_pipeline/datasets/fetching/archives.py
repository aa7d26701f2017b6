"""The publishers' files: the ONE list of addresses, with mirrors, sizes, and checksums where they are known.

`md5`: these files are published without checksums. COCO's are those of the files as people have had them for
years: the ETag of the annotations on the publisher's server, and what PaddleDetection, LAVIS and others check against.
Where there is none, the size that the server announces is checked, and what the archive itself can check.
`bytes` and `unpacked` are exact where `exact` says so, else estimates.
"""

from typing import NamedTuple

MB, GB = 10**6, 10**9


class Archive(NamedTuple):
    """An archive: its `path` below its publisher's `hosts`, tried in this order; which of its files are unpacked.

    `members`: the beginnings of the names to unpack, after folders that lead to them; empty: all. `unpacked`: the most
    bytes that it may unpack to.
    """

    hosts: tuple[str, ...]
    path: str
    bytes: int
    unpacked: int
    members: tuple[str, ...] = ()
    md5: str | None = None
    exact: bool = False

    @property
    def name(self) -> str:
        """Its file name, also below a mirror."""
        return self.path.rpartition("/")[2]

    def addresses(self, mirror: str | None) -> tuple[str, ...]:
        """Return where to get it: from the user's mirror, and then from nowhere else, or from its publisher."""
        hosts, path = ((mirror.rstrip("/"),), self.name) if mirror else (self.hosts, self.path)
        return tuple(f"{host}/{path}" for host in hosts)


# the publisher's name has no valid certificate, the bucket behind it has one
_COCO = ("http://images.cocodataset.org", "https://s3.amazonaws.com/images.cocodataset.org")
_LEAR = tuple(f"{scheme}://lear.inrialpes.fr/people/guillaumin/data/iccv09" for scheme in ("https", "http"))
_IMAGECLEF = ("http://www-i6.informatik.rwth-aachen.de/imageclef/resources",)
_NUS = (
    "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide",
    "http://dl.nextcenter.org/public/nuswide",
)
_LISTS = tuple(f"iaprtc12_{part}_{kind}" for part in ("train", "test") for kind in ("list", "annot"))

COCO2014 = (
    Archive(_COCO, "annotations/annotations_trainval2014.zip", 252_872_794, GB, ("annotations/instances_",),
            "0a379cfc70b0e71301e0f377548639bd", exact=True),
    Archive(_COCO, "zips/train2014.zip", 13_510_573_713, 15 * GB, (), "0da8c0bd3d6becc4dcb32757491aca88", exact=True),
    Archive(_COCO, "zips/val2014.zip", 6_645_013_297, 8 * GB, (), "a3d79f5ed8d289b7a7554ce06a5782b3", exact=True),
)  # fmt: skip
IAPRTC12 = (
    Archive(_LEAR, "iaprtc12.20091111.tar.bz2", 500 * MB, 50 * MB, ("iaprtc12_dictionary", *_LISTS)),
    Archive(_IMAGECLEF, "iaprtc12.tgz", 1800 * MB, 4 * GB, ("images/",)),
)
# the photographs are handed out on request only
NUSWIDE = (
    Archive(_NUS, "ImageList.zip", 5 * MB, 100 * MB, ("TrainImagelist", "TestImagelist")),
    Archive(_NUS, "ConceptsList.zip", MB, 10 * MB, ("Concepts81.txt",)),
    Archive(_NUS, "Groundtruth.zip", 10 * MB, 500 * MB, ("TrainTestLabels/",)),
)
NUSWIDE_PAGE = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
NUSWIDE_URLS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE-urls.rar"

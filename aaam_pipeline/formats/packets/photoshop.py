"""Photoshop's image resources, which JPEG and TIFF carry: IPTC's records are one of them.

Adobe Photoshop File Formats Specification, "Image resource blocks": 8BIM, an id, a name, a length, what it holds.
"""

MARK, IPTC = b"8BIM", 0x0404


def iptc_of(resources: bytes) -> bytes | None:
    """Return the IPTC records among resources, None where there are none; what is cut off is left out."""
    at = 0
    while resources[at : at + 4] == MARK and at + 12 <= len(resources):
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        # a name has a length byte; with it, it is even
        at += 6 + (resources[at + 6] + 2) // 2 * 2
        size = int.from_bytes(resources[at : at + 4], "big")
        at += 4
        if number == IPTC:
            return resources[at : at + size]
        at += (size + 1) // 2 * 2
    return None

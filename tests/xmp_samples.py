"""Sidecars as photo programs write them, from their documented formats."""

from xml.etree import ElementTree

from aaam_pipeline.formats.xmp.fields import WRITTEN
from aaam_pipeline.formats.xmp.record import URI

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="4"
   xmp:Label="Red"
   crs:Exposure2012="+0.35"
   crs:HasSettings="True">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Harbour</rdf:li>
     <rdf:li>Places</rdf:li>
     <rdf:li>Sweden</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Harbour</rdf:li>
     <rdf:li>Places|Sweden</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Evening &amp; boats</rdf:li></rdf:Alt></dc:title>
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li stEvt:action="saved" stEvt:when="2026-05-01T10:00:00+02:00" stEvt:changed="/metadata"/>
    </rdf:Seq>
   </xmpMM:History>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:mediapro="http://ns.iview-multimedia.com/mediapro/1.0/"
    xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   digiKam:PickLabel="0"
   digiKam:ColorLabel="0"
   xmp:Rating="3"
   MicrosoftPhoto:Rating="50"
   acdsee:categories="&lt;Categories&gt;\
&lt;Category Assigned=&quot;0&quot;&gt;Animals\
&lt;Category Assigned=&quot;1&quot;&gt;Bird&lt;/Category&gt;&lt;/Category&gt;&lt;/Categories&gt;">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Animals/Bird</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>Animals/Bird</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Animals|Bird</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <mediapro:CatalogSets>
    <rdf:Bag>
     <rdf:li>Animals|Bird</rdf:li>
    </rdf:Bag>
   </mediapro:CatalogSets>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Bird</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2026:05:01 10:00:00.000"
   xmp:Rating="1"
   xmpMM:DerivedFrom="IMG_0001.CR2"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="1">
   <dc:subject>
    <rdf:Seq>
     <rdf:li>forest</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Seq>
     <rdf:li>darktable|exported</rdf:li>
     <rdf:li>nature|forest</rdf:li>
    </rdf:Seq>
   </lr:hierarchicalSubject>
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:modversion="6"
      darktable:params="00000000000000000000003f"
      darktable:multi_name=""/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
ODD = """<?xml version='1.0' encoding='utf-8'?>
<!-- a comment > with a bracket -->
<RDF xmlns='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
\t<r:Description r:about='uuid:1' xmlns:q='http://purl.org/dc/elements/1.1/' q:format='image/jpeg>'>
\t\t<q:subject><r:Bag><r:li>one</r:li><!-- kept --><r:li xml:lang="en">two</r:li></r:Bag></q:subject>
\t</r:Description>
\t<Description r:about='uuid:1' xmlns:u='http://example.org/unknown#'><u:thing\
 r:parseType='Resource'><u:deep>x</u:deep></u:thing>
\t\t<u:list><Seq><li r:resource='urn:a'/></Seq></u:list></Description>
</RDF>"""
PLAIN = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" \
xmp:Rating="2"><dc:subject>alone</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""
EMPTY_LIST = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag/></dc:subject></rdf:Description>
  <rdf:Description rdf:about=""/>
 </rdf:RDF>
</x:xmpmeta>"""
ATTRIBUTE = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:subject="one" dc:format="image/jpeg"/>
 </rdf:RDF>
</x:xmpmeta>"""
NOTHING = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF>"""
SAMPLES = {
    "Lightroom": LIGHTROOM,
    "digiKam": DIGIKAM,
    "darktable": DARKTABLE,
    "odd": ODD,
    "plain": PLAIN,
    "empty list": EMPTY_LIST,
    "attribute": ATTRIBUTE,
    "nothing": NOTHING,
}


def rest_of(content: bytes) -> list[str]:
    """Return all properties but those of keywords and ours, canonical and in order, as another parser reads them."""
    root = ElementTree.fromstring(content)
    rdf = root if root.tag == f"{RDF}RDF" else root.find(f"{RDF}RDF")
    assert rdf is not None
    ours = {f"{{{field.uri}}}{field.local}" for field in WRITTEN}
    found = []
    for description in rdf:
        about = {f"{RDF}about", "about"}
        found += [f"{name}={value}" for name, value in description.attrib.items() if name not in {*ours, *about}]
        for child in description:
            if child.tag not in ours and not child.tag.startswith(f"{{{URI}}}"):
                child.tail = None
                found.append(ElementTree.canonicalize(ElementTree.tostring(child)))
    return found


def listed(content: bytes, name: str) -> list[str]:
    """Return a field's texts, as another parser reads them."""
    field = next(each for each in WRITTEN if each.name == name)
    root = ElementTree.fromstring(content)
    return [item.text or "" for each in root.iter(f"{{{field.uri}}}{field.local}") for item in each.iter(f"{RDF}li")]

"""Values of header elements as texts and numbers, the same whoever read the file.

:class:`Values` has two sources: bytes that :mod:`hoimg.dicom.elements` kept, and a data set of
pydicom for the files that are not laid out regularly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pydicom import Dataset

# fmt: off
TAGS = {
    "SpecificCharacterSet": 0x00080005, "ImageType": 0x00080008, "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018, "StudyDate": 0x00080020, "SeriesDate": 0x00080021,
    "AcquisitionDate": 0x00080022, "ContentDate": 0x00080023, "StudyTime": 0x00080030,
    "SeriesTime": 0x00080031, "AcquisitionTime": 0x00080032, "Modality": 0x00080060,
    "ConversionType": 0x00080064, "Manufacturer": 0x00080070, "SeriesDescription": 0x0008103E,
    "ManufacturerModelName": 0x00081090, "PatientName": 0x00100010, "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021, "PatientBirthDate": 0x00100030, "PatientSex": 0x00100040,
    "ContrastBolusAgent": 0x00180010, "BodyPartExamined": 0x00180015,
    "SliceThickness": 0x00180050, "KVP": 0x00180060, "TriggerTime": 0x00181060,
    "GantryDetectorTilt": 0x00181120, "XRayTubeCurrent": 0x00181151,
    "FilterType": 0x00181160, "ConvolutionKernel": 0x00181210, "PatientPosition": 0x00185100,
    "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E, "SeriesNumber": 0x00200011,
    "AcquisitionNumber": 0x00200012, "InstanceNumber": 0x00200013,
    "ImagePositionPatient": 0x00200032, "ImageOrientationPatient": 0x00200037,
    "FrameOfReferenceUID": 0x00200052, "TemporalPositionIdentifier": 0x00200100,
    "NominalPercentageOfCardiacPhase": 0x00209241, "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004, "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010, "Columns": 0x00280011, "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100, "BitsStored": 0x00280101, "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103, "FloatPixelPaddingValue": 0x00280122,
    "DoubleFloatPixelPaddingValue": 0x00280123, "FloatPixelPaddingRangeLimit": 0x00280124,
    "DoubleFloatPixelPaddingRangeLimit": 0x00280125,
    "PixelPaddingValue": 0x00280120, "PixelPaddingRangeLimit": 0x00280121,
    "RescaleIntercept": 0x00281052, "RescaleSlope": 0x00281053, "RescaleType": 0x00281054,
    "LossyImageCompression": 0x00282110, "ModalityLUTSequence": 0x00283000,
}
# fmt: on
"""Keyword to tag of every element that the intake looks at."""
_WORDS = frozenset(
    TAGS[k]
    for k in (
        *("SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
        *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    )
)
_DOUBLES = frozenset({TAGS["NominalPercentageOfCardiacPhase"]})
_FLOATS = {
    TAGS[k]: form
    for k, form in (
        ("FloatPixelPaddingValue", "<f"),
        ("FloatPixelPaddingRangeLimit", "<f"),
        ("DoubleFloatPixelPaddingValue", "<d"),
        ("DoubleFloatPixelPaddingRangeLimit", "<d"),
    )
}
"""Numbers that are stored as such, with how they are packed."""


class Source(Protocol):
    """Where texts come from."""

    def texts(self, keyword: str) -> list[str]:
        """All values of an element as texts; empty when absent or unreadable."""
        ...

    def has(self, keyword: str) -> bool:
        """Whether the element is there at all."""
        ...


class RawSource:
    """Values from little endian bytes.

    Args:
        raw: Tag to value. Shared values are not copied.
    """

    __slots__ = ("_charset", "_raw")

    def __init__(self, raw: Mapping[int, bytes]) -> None:
        self._raw = raw
        self._charset = raw.get(TAGS["SpecificCharacterSet"], b"")

    def has(self, keyword: str) -> bool:
        """Whether the element is there at all."""
        return TAGS[keyword] in self._raw

    def texts(self, keyword: str) -> list[str]:
        """All values of an element as texts; empty when absent."""
        tag = TAGS[keyword]
        raw = self._raw.get(tag)
        if not raw:
            return []
        if tag in _WORDS:
            pairs = range(0, len(raw) - 1, 2)
            return [str(int.from_bytes(raw[i : i + 2], "little")) for i in pairs]
        if tag in _DOUBLES:
            return [raw.hex()]  # only told apart, never calculated with
        if tag in _FLOATS:
            packed = struct.Struct(_FLOATS[tag])
            return [repr(packed.unpack_from(raw)[0])] if len(raw) >= packed.size else []
        if raw.isascii() and b"\x1b" not in raw:
            text = raw.decode("ascii")
        else:
            text = _decode(raw, self._charset)
        return [part.strip(" \0") for part in text.split("\\")]


class DatasetSource:
    """Values from a data set of pydicom, any of which may turn out to be unreadable."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def has(self, keyword: str) -> bool:
        """Whether the element is there at all."""
        return TAGS[keyword] in self._dataset

    def texts(self, keyword: str) -> list[str]:
        """All values of an element as texts; empty when absent or unreadable."""
        try:
            value: Any = self._dataset.get(keyword)
        except (
            Exception
        ):  # a damaged element: any conversion may fail; absent is what it amounts to
            return []
        if value is None or value == "":
            return []
        if isinstance(value, bytes):
            return [str(int.from_bytes(value[:2], "little"))]
        if isinstance(value, str | int | float) or keyword == "PatientName":
            return [str(value).strip(" \0")]  # a PersonName would be iterated by letters
        try:
            return [str(v).strip(" \0") for v in value]
        except TypeError:
            return [str(value).strip(" \0")]


class Values:
    """Texts and numbers of a header; None where an element is absent or no number.

    Args:
        source: Where the texts come from.
    """

    __slots__ = ("has", "many")

    def __init__(self, source: Source) -> None:
        self.many = source.texts
        self.has = source.has

    def text(self, keyword: str) -> str:
        """All values joined by ``/``; empty when absent."""
        return "/".join(self.many(keyword)).strip(" \0")

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers."""
        try:
            values = tuple(float(v) for v in self.many(keyword))
        except ValueError:
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    def number(self, keyword: str) -> float | None:
        """One finite number."""
        values = self.numbers(keyword, 1)
        return None if values is None else values[0]

    def positive(self, keyword: str) -> float | None:
        """One finite number above zero."""
        value = self.number(keyword)
        return value if value is not None and value > 0 else None

    def integer(self, keyword: str) -> int | None:
        """One number, cut to a whole one."""
        value = self.number(keyword)
        return None if value is None else int(value)


def _decode(raw: bytes, charset: bytes) -> str:
    """Text in the character set that the file declares; what it cannot hold is replaced."""
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    names = [name.strip() for name in charset.decode("ascii", "replace").split("\\")]
    try:
        return str(decode_bytes(raw, convert_encodings(names or [""]), TEXT_VR_DELIMS))
    except (LookupError, UnicodeError):
        return raw.decode("latin-1")

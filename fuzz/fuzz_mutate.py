"""Mutations: of any bytes, and of what DICOM, NIfTI, NRRD, gzip, deflate and zip files claim."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from fuzz_corpus import Seed

LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
BINARY = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8, b"AT": 4}
BOMB = 96 * 2**20
"""Bytes that a bomb inflates to."""
INTEGERS = (
    *(0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 4095, 8192),
    *(32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**63),
)
FLOATS = (0.0, -0.0, 1e-320, 1e-30, 1e-3, -1.0, 0.5, 1e9, 1e38, -1e38, 1e308)
FLOATS += (float("nan"), float("inf"), float("-inf"))
NAMES = (
    *(b"../../../secret", b"..", b"../in", b"/etc/passwd", b"..\\..\\secret", b"C:\\secret"),
    *(b"~/secret", b"link", b"a\0b", b"\0", b"A" * 10_240, b"a/" * 2000, b"-rf", b"$(id)"),
    *(b"\x1b[31mred\x1b]0;t\x07", b"\xff\xfe\xfd", b"\xe2\x80\xae.exe", b"%s%n%d", b"CON"),
    *(b"\n", b" ", b""),
)
TEXTS = (
    *NAMES,
    *(b"NaN", b"inf", b"-inf", b"1e308", b"1e-320", b"-1", b"0", b"0.0\\0.0", b"1.5", b"1e5"),
    *(b"2147483648", b"99999999999999999999", b"9" * 5000, b"1\\2", b"1\\2\\3\\4\\5\\6\\7"),
    *(b"nan\\nan\\nan", b"inf\\0\\0", b"1\\0\\0\\1\\0\\0", b"\\" * 5000, b"1.2.3", b"1." * 40),
    *(b"2.25." + b"9" * 100, b"20240230", b"00000000", b"99999999", b"240000", b"0x10", b"1_0"),
    *(b"MONOCHROME1", b"RGB", b"PALETTE COLOR", b"CT", b"CR", b"SEG", b"DERIVED\\SECONDARY\\MPR"),
    *(b"ISO_IR 192", b"ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"ISO_IR 999", b"HU", b"OD"),
    *(b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"),
    *(b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.100"),
    *(b"1.2.840.10008.5.1.4.1.1.2.1", b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.1.3.10"),
)
# What readers act on, with its VR; put into data sets that lack it too.
TAGS = (
    *((0x00080005, b"CS"), (0x00080008, b"CS"), (0x00080016, b"UI"), (0x00080018, b"UI")),
    *((0x00080020, b"DA"), (0x00080030, b"TM"), (0x00080060, b"CS"), (0x0008103E, b"LO")),
    *((0x00100010, b"PN"), (0x00100020, b"LO"), (0x00100021, b"LO"), (0x00180050, b"DS")),
    *((0x00180060, b"DS"), (0x00181120, b"DS"), (0x00181164, b"DS"), (0x00181210, b"SH")),
    *((0x00185100, b"CS"), (0x0020000D, b"UI"), (0x0020000E, b"UI"), (0x00200013, b"IS")),
    *((0x00200032, b"DS"), (0x00200037, b"DS"), (0x00200052, b"UI"), (0x00280002, b"US")),
    *((0x00280004, b"CS"), (0x00280006, b"US"), (0x00280008, b"IS"), (0x00280010, b"US")),
    *((0x00280011, b"US"), (0x00280030, b"DS"), (0x00280034, b"IS"), (0x00280100, b"US")),
    *((0x00280101, b"US"), (0x00280102, b"US"), (0x00280103, b"US"), (0x00280120, b"US")),
    *((0x00280121, b"US"), (0x00281050, b"DS"), (0x00281051, b"DS"), (0x00281052, b"DS")),
    *((0x00281053, b"DS"), (0x00281054, b"LO"), (0x00283000, b"SQ"), (0x00283010, b"SQ")),
    *((0x00283002, b"US"), (0x00283006, b"OW"), (0x00041500, b"CS"), (0x30060050, b"DS")),
    *((0x00620002, b"SQ"), (0x00620004, b"US"), (0x0062000B, b"US"), (0x00020010, b"UI")),
    *((0x52009229, b"SQ"), (0x52009230, b"SQ"), (0x7FE00008, b"OF"), (0x7FE00010, b"OW")),
)
IDENTITY = (0x00100010, 0x00100020)

Mutator = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Element:
    """Where an element lies in an explicit little endian file."""

    start: int
    tag: int
    vr: bytes
    body: int
    length: int


def mutate(seed: Seed, rng: random.Random) -> dict[str, bytes]:
    """The files of a seed with one of them, or all in the same way, broken."""
    files = dict(seed.files)
    names = sorted(files)
    if rng.random() < 0.1 and len(names) > 1:
        files.pop(rng.choice(names))
        names = sorted(files)
    count = len(names) if rng.random() < 0.35 else 1
    state = rng.getrandbits(64)
    for name in rng.sample(names, count):
        # The same state for all: a lie that a whole series tells gets deeper than one of a slice.
        again = random.Random(state)
        for _ in range(again.choice((1, 1, 1, 2, 4))):
            files[name] = _one(name, files[name], again)
    if rng.random() < 0.02:
        files[rng.choice(("x", "deep/" * 40 + "x", "\u202e.dcm", "a\nb"))] = files[names[0]]
    return files


def _one(name: str, data: bytes, rng: random.Random) -> bytes:
    special: tuple[Mutator, ...] = ()
    if name.endswith(".gz") and data[:2] == b"\x1f\x8b":
        special = (_regzip,)
    elif name.endswith(".nii"):
        special = (_nifti,)
    elif name.endswith((".nrrd", ".nhdr", ".mha")):
        special = (_text_header,)
    elif name.endswith(".zip"):
        special = (_rezip,)
    elif data[128:132] == b"DICM":
        special = (_dicom,)
    if special and rng.random() < 0.7:
        return rng.choice(special)(data, rng)
    return _bytes(data, rng)


def _integer(rng: random.Random, size: int) -> bytes:
    value = rng.choice(INTEGERS) + rng.choice((0, 0, 0, -1, 1))
    order = "little" if rng.random() < 0.7 else "big"
    return (value % 2 ** (8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """Flips, cuts, doublings and telling numbers at any place."""
    out = bytearray(data)
    if not out:
        return bytes(rng.randbytes(8))
    at = rng.randrange(len(out))
    size = rng.choice((1, 2, 4, 8, 64, 512))
    how = rng.randrange(8)
    if how == 0:
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif how == 1:
        del out[at:]
    elif how == 2:
        del out[at : at + size]
    elif how == 3:
        out[at:at] = out[at : at + size]
    elif how == 4:
        out[at : at + size] = rng.randbytes(size)
    elif how == 5:
        out[at:at] = rng.randbytes(size)
    elif how == 6:
        number = _integer(rng, rng.choice((1, 2, 4, 8)))
        out[at : at + len(number)] = number
    else:
        other = rng.randrange(len(out))
        out[at : at + size], out[other : other + size] = (
            out[other : other + size],
            out[at : at + size],
        )
    return bytes(out)


def elements(data: bytes) -> list[Element]:
    """Every element of an explicit little endian file up to its pixels, also within sequences."""
    found = []
    place = 132 if data[128:132] == b"DICM" else 0
    while place + 12 <= len(data):
        group, number, vr, length = struct.unpack_from("<HH2sH", data, place)
        if group == 0xFFFE:
            place += 8
            continue
        body = place + 8
        if vr in LONG:
            (length,) = struct.unpack_from("<L", data, body)
            body += 4
        elif vr not in SHORT:
            break
        found.append(Element(place, group << 16 | number, vr, body, length))
        if group == 0x7FE0:
            break
        place = body if vr == b"SQ" or length == 0xFFFFFFFF else body + length
    return found


def encode(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An explicit little endian element; with a ``length`` that may be a lie."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in LONG:
        return head + b"\0\0" + struct.pack("<L", length % 2**32) + value
    return head + struct.pack("<H", length % 2**16) + value


def _value(vr: bytes, rng: random.Random) -> bytes:
    if vr in (b"FL", b"FD"):
        code = "<f" if vr == b"FL" else "<d"
        numbers = [v for v in FLOATS if vr == b"FD" or abs(v) < 1e38 or v != v]
        count = rng.choice((1, 2, 3))
        return b"".join(struct.pack(code, rng.choice(numbers)) for _ in range(count))
    if vr in BINARY:
        return b"".join(_integer(rng, BINARY[vr]) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    if vr == b"SQ":
        return _deep(rng.choice((1, 3, 70, 3000)), rng)
    if vr in LONG:
        return rng.randbytes(rng.choice((0, 1, 2, 64)))
    value = rng.choice(TEXTS)
    return value if rng.random() < 0.1 else value + b" " * (len(value) % 2)


def _deep(depth: int, rng: random.Random) -> bytes:
    """Sequences within sequences, of undefined length, perhaps never closed."""
    head = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + encode(0x00400275, b"SQ", b"", 0xFFFFFFFF)
    tail = b"\xfe\xff\xdd\xe0\0\0\0\0" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    return head * depth + (tail * depth if rng.random() < 0.7 else b"")


def _dicom(data: bytes, rng: random.Random) -> bytes:
    """Lies in the header, told in valid encoding (or nearly so)."""
    if b"1.2.840.10008.1.2.1.99" in data[:512]:
        return _redeflate(data, rng)
    known = elements(data)
    if len(known) < 8:
        return _bytes(data, rng)
    top = rng.choice(known)
    end = min(top.body + min(top.length, len(data)), len(data))
    before, after = data[: top.start], data[end:]
    how = rng.randrange(12)
    if how <= 3:  # another value of the right length
        value = _value(top.vr, rng)
        return before + encode(top.tag, top.vr, value) + after
    if how == 4:  # the value's place is kept, so that what surrounds it stays whole
        value = _value(top.vr, rng)[: end - top.body].ljust(end - top.body, b" ")
        return data[: top.body] + value + data[end:]
    if how == 5:  # the length is a lie
        lengths = (*INTEGERS[:20], 2**32 - 1, len(data), top.length + 1, top.length - 1)
        return before + encode(top.tag, top.vr, data[top.body : end], rng.choice(lengths)) + after
    if how == 6:  # the VR is a lie
        vr = rng.choice([*sorted(LONG | SHORT), b"ZZ", b"\0\0"])
        return data[: top.start + 4] + vr + data[top.start + 6 :]
    if how == 7:  # the tag is another one
        tag, _ = rng.choice(TAGS)
        if top.tag in IDENTITY:  # a name that is called a kernel is shown, and no leak
            tag = top.tag
        return before + struct.pack("<HH", tag >> 16, tag & 65535) + data[top.start + 4 :]
    if how == 8:
        return before + after
    if how == 9:
        times = rng.choice((2, 3, 500))
        return before + data[top.start : end] * times + after
    tag, vr = rng.choice(TAGS)
    value = _value(vr, rng)
    same = [e for e in known if e.tag == tag]
    if same:
        e = rng.choice(same)
        end = min(e.body + min(e.length, len(data)), len(data))
        return data[: e.start] + encode(tag, e.vr, _value(e.vr, rng)) + data[end:]
    later = next((e for e in known if e.tag > tag), known[-1])
    return data[: later.start] + encode(tag, vr, value) + data[later.start :]


def _redeflate(data: bytes, rng: random.Random) -> bytes:
    """What is deflated, mutated; or a bomb."""
    meta = [e for e in elements(data[:600]) if e.tag >> 16 == 2]
    if not meta:
        return _bytes(data, rng)
    start = meta[-1].body + meta[-1].length
    try:
        plain = zlib.decompress(data[start:], -15)
    except zlib.error:
        return _bytes(data, rng)
    if rng.random() < 0.02:
        packer = zlib.compressobj(1, wbits=-15)
        name = encode(0x00080005, b"UT", b"", BOMB) if rng.random() < 0.5 else plain
        return data[:start] + packer.compress(name + bytes(BOMB)) + packer.flush()
    head = b"\0" * 128 + b"DICM"
    changed = _dicom(head + plain, rng)[132:] if rng.random() < 0.7 else _bytes(plain, rng)
    packer = zlib.compressobj(6, wbits=-15)
    return data[:start] + packer.compress(changed) + packer.flush()


def _nifti(data: bytes, rng: random.Random) -> bytes:
    """Fields of the header: sizes, codes, offsets, matrices."""
    out = bytearray(data)
    if len(out) < 352:
        return _bytes(data, rng)
    how = rng.randrange(5)
    if how == 0:
        struct.pack_into("<h", out, 40 + 2 * rng.randrange(8), rng.choice(INTEGERS) % 32768)
    elif how == 1:
        struct.pack_into("<f", out, 76 + 4 * rng.randrange(8), _float(rng))
    elif how == 2:
        struct.pack_into("<f", out, rng.choice((108, 112, 116)), _float(rng))
    elif how == 3:
        struct.pack_into("<f", out, 256 + 4 * rng.randrange(18), _float(rng))
    else:
        struct.pack_into("<h", out, rng.choice((0, 70, 72, 122, 252, 254)), rng.randrange(2100))
    return bytes(out)


def _float(rng: random.Random) -> float:
    return rng.choice([v for v in FLOATS if not 1e38 < abs(v) < float("inf")])


def _regzip(data: bytes, rng: random.Random) -> bytes:
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return _bytes(data, rng)
    if rng.random() < 0.02:
        plain = bytearray(plain)
        sizes = rng.choice(((512, 512, 180), (32767, 32767, 32767), (1, 1, 32767)))
        struct.pack_into("<4h", plain, 40, 3, *sizes)
        return gzip.compress(bytes(plain) + bytes(BOMB), 1, mtime=0)
    changed = _nifti(plain, rng) if rng.random() < 0.7 else _bytes(plain, rng)
    return gzip.compress(changed, 1, mtime=0)


def _text_header(data: bytes, rng: random.Random) -> bytes:
    """Lines of a text header (NRRD, MetaImage)."""
    end = data.find(b"\n\n") if data.startswith(b"NRRD") else data.find(b"LOCAL\n")
    end = len(data) if end < 0 else end
    lines = data[:end].split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.randrange(5)
    values = (
        *NAMES,
        *(b"-1", b"0", b"1e9", b"nan", b"inf", b"99999999999 9 9", b"65536 65536 65536", b"3"),
        *(b"2", b"4", b"block", b"double", b"uint64", b"unsigned char", b"raw", b"gzip", b"bzip2"),
        *(b"hex", b"txt", b"LIST", b"a%03d.raw 0 100000 1", b"scanner-xyz", b"LPS", b"RAS"),
        *(b"none", b"big"),
        *(b"(1,0,0) (0,1,0) (0,0,0)", b"(1,0,0) (1,0,0) (1,0,0)", b"(nan,0,0) none (0,0,1)"),
        *(b"(1e300,0,0) (0,1e300,0) (0,0,1e300)", b"(1,2", b'"mm" "mm" "mm"', b'"in" "in" "in"'),
    )
    mark = b":" if data.startswith(b"NRRD") else b"="
    if how <= 1:
        name = lines[at].split(mark)[0]
        lines[at] = name + mark + b" " + rng.choice(values)
    elif how == 2:
        fields = (b"data file", b"byte skip", b"line skip", b"sizes", b"dimension", b"encoding")
        fields += (b"space", b"type", b"space directions", b"ElementDataFile", b"DimSize")
        lines.insert(at + 1, rng.choice(fields) + mark + b" " + rng.choice(values))
    elif how == 3:
        del lines[at]
    else:
        lines[at:at] = [lines[at]] * rng.choice((1, 5000))
    return b"\n".join(lines) + data[end:]


def _rezip(data: bytes, rng: random.Random) -> bytes:
    """Other names, broken members, bombs, archives within archives."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename.encode(), archive.read(info)) for info in archive.infolist()]
    except Exception:  # the archive is broken already
        return _bytes(data, rng)
    at = rng.randrange(len(members)) if members else 0
    how = rng.randrange(6)
    if not members or how == 0:
        members.append((rng.choice(NAMES), data))
    elif how <= 2:
        members[at] = (rng.choice(NAMES), members[at][1])
    elif how == 3:
        members[at] = (members[at][0], _one("", members[at][1], rng))
    elif how == 4 and rng.random() < 0.1:
        members[at] = (members[at][0], members[at][1][:200] + bytes(BOMB))
    else:
        members.append((b"f%d.nii.gz" % at, members[at][1]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            text = name.decode("latin-1")[:60_000]
            kind = rng.choice((zipfile.ZIP_DEFLATED,) * 8 + (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
            info = zipfile.ZipInfo("x")
            info.filename = text
            archive.writestr(info, content, kind, 1)
    return stream.getvalue()

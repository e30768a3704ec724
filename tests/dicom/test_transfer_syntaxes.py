"""Every transfer syntax, against plain files of the same image and against other decoders."""

from __future__ import annotations

from base64 import b85decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from synthetic_ct import noise, stack, write_ct

from hoimg.decoding import codecs, worker
from hoimg.decoding.codecs import CODECS, NAMES, PACKAGES, Form, UndecodableFrame, decode_frame
from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.header import read_header
from hoimg.dicom.hounsfield import clean
from hoimg.dicom.pixels import read_stack, read_stored
from hoimg.dicom.types import SliceSource, Stack, StoredPixels
from hoimg.errors import InputRefused

JPEG = "1.2.840.10008.1.2.4."
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
LOSSLESS = [
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
]
# name: largest difference to the lossless pixels in HU (8-bit JPEG: a step is 16 HU)
LOSSY = {
    "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81": 2,
    "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91": 10,
    "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55": 50,
    "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51": 50,
    "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53": 50,
    "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50": 80,
}


def hu_of(file: Path) -> np.ndarray:
    """HU of one image, through the header that hoimg reads."""
    header = read_header(file)
    assert header is not None
    assert header.stored is not None
    slope, intercept = header.slope or 1.0, header.intercept or 0.0
    source = SliceSource(file, 0, slope, intercept, header.stored)
    return read_stack(Stack((source,), (0.0,), ((0.0, 0.0),)))[0][0]


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_syntaxes_give_identical_pixels(real_data: Path, name: str) -> None:
    folder = real_data / "transfer_syntaxes"
    plain = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "CTImage.dcm")))[0]
    np.testing.assert_array_equal(hu_of(folder / f"CTImage.dcm_{name}.dcm"), plain)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_syntaxes_are_close(real_data: Path, name: str, capfd: Any) -> None:
    file = real_data / "transfer_syntaxes" / f"CTImage.dcm_{name}.dcm"
    plain = hu_of(real_data / "transfer_syntaxes" / "CTImage.dcm")
    decoded = hu_of(file)
    assert capfd.readouterr().err == ""  # libjpeg prints on every 12-bit image
    assert 0 < np.abs(decoded - plain).max() <= LOSSY[name]
    # SimpleITK's own decoder, with its own rescale in double precision.
    other = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
    capfd.readouterr()
    np.testing.assert_allclose(decoded, other, atol=1e-3)


@pytest.mark.parametrize("name", ["CT1_J2KR", "CT2_J2KR"])
def test_other_real_files_agree_with_simpleitk(real_data: Path, name: str) -> None:
    file = real_data / "transfer_syntaxes" / name
    np.testing.assert_array_equal(hu_of(file), sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0])


def test_fragments_without_offset_table(real_data: Path, capfd: Any) -> None:
    file = real_data / "transfer_syntaxes" / "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm"
    header = read_header(file)
    assert header is not None
    assert header.stored is not None
    stored = read_stored(file, header.stored)
    assert capfd.readouterr().err == ""
    other = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]  # applies the header's rescale
    np.testing.assert_array_equal(stored.astype(int) - int(stored[0, 0]), other - other[0, 0])


def encode(name: str, pixels: np.ndarray, bits: int) -> bytes:
    """One frame by the encoders of the decoders' own projects, and by GDCM for lossless JPEG."""
    # These two know no sign: they get the stored bits alone.
    unsigned = pixels.view(f"u{pixels.itemsize}") & (2**bits - 1)
    if name == "rle":
        from rle.utils import encode_pixel_data

        rows, columns = pixels.shape
        return bytes(
            encode_pixel_data(
                pixels.tobytes(), rows=rows, columns=columns, samples_per_pixel=1,
                bits_allocated=8 * pixels.itemsize, byteorder="<",
            )
        )  # fmt: skip
    if name == "jpeg-ls":
        import jpeg_ls

        return bytes(jpeg_ls.encode_array(unsigned))
    if name == "jpeg-2000":
        from openjpeg.utils import encode_array

        return bytes(encode_array(pixels, bits_stored=bits, photometric_interpretation=2))
    return gdcm_lossless(unsigned, bits)


def gdcm_lossless(pixels: np.ndarray, bits: int) -> bytes:
    import gdcm

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixels.shape[1], pixels.shape[0], 1))
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    allocated = 8 * pixels.itemsize
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, bits, bits - 1, 0))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.tobytes())
    image.SetDataElement(element)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    # The filter counts references and deletes the image; Python would delete it once more.
    image.thisown = False
    change.SetInput(image)
    assert change.Change()
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    text = fragments.GetFragment(0).GetByteValue().GetBuffer()
    return text.encode("utf-8", "surrogateescape")


def compress(file: Path, syntax: str, frames: list[bytes], **tags: Any) -> None:
    """Put compressed frames into a file written plainly."""
    ds = dcmread(file)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    ds.save_as(file, enforce_file_format=True)


SYNTAXES = {
    "rle": RLELossless, "jpeg-ls": JPEG + "80", "jpeg-2000": JPEG + "90", "jpeg": JPEG + "70",
}  # fmt: skip
FORMS = {
    "12 bits": (12, 16, False),
    "signed 12 bits": (12, 16, True),
    "16 bits": (16, 16, False),
    "signed 16 bits": (16, 16, True),
    "8 bits": (8, 8, False),
}


def ramp(bits: int, signed: bool, shape: tuple[int, ...] = (5, 32, 40)) -> np.ndarray:
    """From the lowest to the highest value of so many bits."""
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.linspace(low, low + 2**bits - 1, int(np.prod(shape))).reshape(shape)
    return np.rint(values).astype(int)


@pytest.mark.parametrize("name", SYNTAXES)
def test_encoded_pixels_come_back(tmp_path: Path, name: str) -> None:
    pixels = np.stack([np.roll(ramp(12, True, (32, 40)), 3 * k, axis=0) for k in range(5)])
    for file, plane in zip(write_ct(tmp_path, noise(5, 32, 40)), pixels, strict=True):
        source = encode(name, plane.astype(np.int16), 12)
        compress(
            file, SYNTAXES[name], [source], BitsStored=12, HighBit=11, PixelRepresentation=1,
            RescaleIntercept="-24",
        )  # fmt: skip
    volume = load_volume(read_patient(tmp_path).exams[0])
    np.testing.assert_array_equal(volume.hu, pixels - 24)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SYNTAXES)
def test_every_form_of_pixels(name: str, form: str) -> None:
    bits, allocated, signed = FORMS[form]
    pixels = ramp(bits, signed, (32, 40))
    kind = f"{'i' if signed else 'u'}{allocated // 8}"
    source = encode(name, pixels.astype(kind), bits)
    frame = decode_frame(source, Form(SYNTAXES[name], 32, 40, allocated, bits, signed))
    raw = np.frombuffer(frame.data, f"<u{frame.item_bytes}").reshape(32, 40)
    stored = StoredPixels("", 0, 32, 40, 1, allocated, bits, signed, 1, "MONOCHROME2")
    values, padding = clean(raw, stored, frame.precision)
    assert padding is None
    np.testing.assert_array_equal(values, pixels)


def test_a_sign_that_is_open_is_refused(tmp_path: Path) -> None:
    # pyjpegls gives an image only as many bits as its largest value needs: 11 here.
    stored = ramp(11, False)[[4] * 5]
    for file, plane in zip(write_ct(tmp_path, stored), stored, strict=True):
        source = encode("jpeg-ls", plane.astype(np.uint16), 12)
        compress(file, JPEG + "80", [source], BitsStored=12, HighBit=11, PixelRepresentation=1)
    exam = read_patient(tmp_path).exams[0]
    assert exam.series.stack is not None
    first = exam.series.stack.slices[0]
    for read in (
        lambda: load_volume(exam),
        lambda: read_stored(first.file, first.stored),
    ):
        with pytest.raises(InputRefused, match="11 bits compressed where 12 signed"):
            read()


# Reversible HTJ2K by OpenJPH 0.26 (base 85), of the arrays that the test makes.
HTJ2K_RAMP = (
    "|4;u>04YEK0000C0000A00000000000000C0000A0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0sm"
    "Y86Cj9?kdTm&kdTm&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000UjPCBlfVEb&HM!ibN~Rr0"
    "206e69Di4$8-Q>{sM<|0H6Q~K==MKGXTH<62Jfx0P?@vbO8763U^chzyKwH09OFu-b>^F#>U3R#>Vsz-"
    "XQ_LxB&mz"
)
HTJ2K_SIGNED_NOISE = (
    "|4;u>04YEK0000K0000G00000000000000K0000G000000000000EBy0sl|{2mk^A000XAQUDA90ssL31q1{@0sm"
    "Y86Cj9?kdTm&kdTm&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00002l>h<%lfVEb0{8<5bO68r6"
    "9B>f0ta*ezyK1!029Cf5`gUhhjak6fan0CGyvWJhjakI02NRG1#|!bR*m%YrJei%gERo+*t3`1eZ%?yLjiv_0RI%"
    "No=u?q0mifdzyKFZ003Pq00DIX0`vtf(RBtxB{Yp0_l8D3LxW%vWL!+u@ZqZtdF)CzkYFLY0JKv6Eq8OV-dX14<)"
    "h<bBNv#kA*APS3fx=#3Uwq*7l?o(IsgVD1sntw8!&F`=^8D#)$k4gxd$)<OxF@Y20P;~0cVzu7nGo5Ism``FQOm-"
    "7tt^P3+VvpkfXd;X+(_CNQEA}s&#4rU$9-"
    "l87h}b5fUBpzC0o=R@h{vuRF;hh*gvT;W7|K#M}?jEnBRkIUA5bn@wD?nbTo1-`f8+C!YlzD9+x7B|;%(EDuZc-"
    "yb7-J?Flui{n~J2tiQjQkjTUr0u8d(gsxkK^fW^4O!?w8ZgQ-fU*>zVYC6Y0UAIDQcD;(RAXTyqrtE@O<#cx4G!c"
    "*$wFVOv52jVncY~$DuRHIg!Y~%gCOf7I3op9ZQ`ot6iFbM#hn_iA_fUeHIKQBgEj(TZ!a+l0v=rLqOU4p79f|73H"
    "&$DuJqoDq283&jRA~O$WsWDt>XY?WcHx=cP0Ep0p^Y{g#oM-pkp=xd}P%QPZ&QKhxlkRYG3o#vgs^?fPJUWox>$T"
    "?0^-"
    "hK)@!=1wos+fg%q?WS&8dV9{p`j4(xPd~+G|lLFb>y2yJ@Hblx%bV0S4(v5epgYM8h2XQ+xg=vJm=!(8Vj<)OE)F"
    "4kydC2+iQn?G}h5L*i(9vSR(*VJjFFH#_?20sXL#0W?6rg4pfI_zc|Je"
)


@pytest.mark.parametrize("syntax", ["201", "202", "203"])
def test_htj2k(tmp_path: Path, syntax: str) -> None:
    ramp = 100 * np.arange(10)[:, None] + np.arange(12)
    for file in write_ct(tmp_path, noise()):
        compress(file, JPEG + syntax, [b85decode(HTJ2K_RAMP)])
    exam = read_patient(tmp_path).exams[0]
    assert ("lossy_compression" in {f.code for f in exam.findings}) == (syntax == "203")
    np.testing.assert_array_equal(load_volume(exam).hu, np.stack([ramp - 1024] * 6))


def test_signed_htj2k(tmp_path: Path) -> None:
    expected = np.random.default_rng(5).integers(-1024, 3072, (16, 20))
    for file in write_ct(tmp_path, noise(5, 16, 20), RescaleIntercept="0"):
        compress(file, JPEG + "201", [b85decode(HTJ2K_SIGNED_NOISE)], PixelRepresentation=1)
    hu = load_volume(read_patient(tmp_path).exams[0]).hu
    np.testing.assert_array_equal(hu, np.stack([expected] * 5))


def test_encapsulated_uncompressed(tmp_path: Path) -> None:
    stored = noise()
    for file, pixels in zip(write_ct(tmp_path, stored), stored, strict=True):
        compress(file, "1.2.840.10008.1.2.1.98", [pixels.astype(np.uint16).tobytes()])
    np.testing.assert_array_equal(load_volume(read_patient(tmp_path).exams[0]).hu, stored - 1024)


def test_deflated(tmp_path: Path) -> None:
    stored = noise()
    for file in write_ct(tmp_path, stored):
        ds = dcmread(file)
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(file, enforce_file_format=True)
    np.testing.assert_array_equal(load_volume(read_patient(tmp_path).exams[0]).hu, stored - 1024)


def multiframe(tmp_path: Path, split: int, how: str) -> tuple[Path, np.ndarray]:
    """A file of several compressed frames, each in ``split`` fragments."""
    stored = np.random.default_rng(0).integers(0, 4096, (5, 32, 48)).astype(np.uint16)
    [file] = write_ct(tmp_path, stored[:1])
    frames = [encode("jpeg-2000", pixels, 12) for pixels in stored]
    ds = dcmread(file)
    ds.file_meta.TransferSyntaxUID = JPEG + "90"
    ds.NumberOfFrames, ds.BitsStored, ds.HighBit = len(stored), 12, 11
    if how == "extended":
        values = encapsulate_extended(frames)
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = values
    else:
        ds.PixelData = encapsulate(frames, fragments_per_frame=split, has_bot=how == "table")
    ds["PixelData"].VR = "OB"
    ds.save_as(file, enforce_file_format=True)
    return file, stored


@pytest.mark.parametrize(
    ("split", "how"),
    [(1, "none"), (1, "table"), (3, "table"), (3, "none"), (1, "extended")],
)
def test_frames_of_one_file(tmp_path: Path, split: int, how: str) -> None:
    file, stored = multiframe(tmp_path, split, how)
    header = read_header(file)
    assert header is not None
    assert header.stored is not None
    order = (3, 0, 4, 1, 2)
    slices = tuple(SliceSource(file, k, 1.0, -float(k), header.stored) for k in order)
    hu, padded = read_stack(Stack(slices, (0.0,) * 5, ((0.0, 0.0),) * 5))
    assert padded is None
    np.testing.assert_array_equal(hu, [stored[k].astype(int) - k for k in order])


def test_a_compressed_file_that_is_gone_is_named(tmp_path: Path) -> None:
    files = write_ct(tmp_path)
    for file in files:
        compress(file, RLELossless, [encode("rle", np.zeros((10, 12), np.uint16), 16)])
    exam = read_patient(tmp_path).exams[0]
    files[2].unlink()
    with pytest.raises(InputRefused, match=files[2].name):
        load_volume(exam)


def test_deflated_floats(tmp_path: Path) -> None:
    for file in write_ct(tmp_path):
        ds = dcmread(file)
        ds.FloatPixelData = np.full((10, 12), 2.5, "<f4").tobytes()
        del ds.PixelData
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(file, enforce_file_format=True)
    assert (load_volume(read_patient(tmp_path).exams[0]).hu == 2.5 - 1024).all()


def test_a_syntax_without_decoder_is_named(tmp_path: Path) -> None:
    for file in write_ct(tmp_path):
        compress(file, JPEG + "102", [b"\0" * 100])  # MPEG-4
    with pytest.raises(InputRefused, match=r"1\.2\.840\.10008\.1\.2\.4\.102") as refusal:
        load_volume(read_patient(tmp_path).exams[0])
    assert refusal.value.code == "pixels_unreadable"


def test_tables_of_decoders_agree() -> None:
    assert set(CODECS) == set(NAMES)
    assert set(CODECS.values()) == set(PACKAGES)
    for codec in PACKAGES:
        codecs.load(codec)


def test_what_libjpeg_says_of_a_broken_image() -> None:
    assert codecs.complains(b"x\nCorrupt JPEG data: premature end of data segment\n")
    assert codecs.complains(b"Premature end of JPEG file")
    assert not codecs.complains(b"Unsupported JPEG data precision 12\n" * 5)


def test_fill_bytes_before_a_marker_and_no_image_at_all() -> None:
    source = encode("jpeg", noise(1, 32, 32)[0].astype(np.uint16), 12)
    form = Form(JPEG + "70", 32, 32, 16, 12, False)
    filled = source[:2] + b"\xff\xff" + source[2:]
    assert decode_frame(filled, form) == decode_frame(source, form)
    with pytest.raises(UndecodableFrame, match="no JPEG image"):
        decode_frame(source[:2], form)
    with pytest.raises(UndecodableFrame, match="bytes for 1024 pixels"):
        decode_frame(bytes(2000), Form(codecs.ENCAPSULATED, 32, 32, 16, 12, False))


DAMAGE = {
    "cut": lambda s: s[: len(s) // 2],
    "end": lambda s: s[: len(s) * 9 // 10],
    "garbage": lambda s: bytes(len(s)),
    "empty": lambda s: b"",
}


@pytest.mark.parametrize("name", SYNTAXES)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, capfd: Any) -> None:
    stored = noise(5, 32, 32)
    files = write_ct(tmp_path, stored)
    for k, (file, pixels) in enumerate(zip(files, stored.astype(np.uint16), strict=True)):
        source = encode(name, pixels, 12)
        frames = [source[: len(source) // 2] if k == 3 else source]
        compress(file, SYNTAXES[name], frames, BitsStored=12, HighBit=11)
    exam = read_patient(tmp_path).exams[0]
    with pytest.raises(InputRefused, match=files[3].name) as refusal:
        load_volume(exam)
    assert refusal.value.code == "pixels_unreadable"
    assert NAMES[SYNTAXES[name]] in str(refusal.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", SYNTAXES)
def test_damaged_frames_are_no_images(name: str, damage: str) -> None:
    source = encode(name, noise(1, 32, 32)[0].astype(np.uint16), 12)
    form = Form(SYNTAXES[name], 32, 32, 16, 12, False)
    with pytest.raises(Exception, match=r".") as caught:
        decode_frame(DAMAGE[damage](source), form)
    assert not isinstance(caught.value, MemoryError)


@pytest.mark.parametrize("name", SYNTAXES)
def test_another_size_than_declared_is_refused(name: str) -> None:
    # GDCM and SimpleITK would fill the rest in silence.
    source = encode(name, noise(1, 32, 32)[0].astype(np.uint16), 12)
    for rows, columns in ((32, 33), (33, 32), (16, 64), (31, 32)):
        if name == "rle" and rows * columns == 1024:
            continue  # run lengths have no rows
        with pytest.raises(UndecodableFrame):
            decode_frame(source, Form(SYNTAXES[name], rows, columns, 16, 12, False))


def test_a_jpeg_that_libjpeg_complains_about_is_refused(tmp_path: Path) -> None:
    # Cut within the image but with its end mark: libjpeg fills the rest in and only prints.
    pixels = noise(5, 64, 64).astype(np.uint16)
    for file, plane in zip(write_ct(tmp_path, pixels), pixels, strict=True):
        source = encode("jpeg", plane, 12)
        cut = source[: len(source) // 2 // 2 * 2] + b"\xff\xd9"
        compress(file, SYNTAXES["jpeg"], [cut], BitsStored=12, HighBit=11)
    with pytest.raises(InputRefused, match="damaged within") as refusal:
        load_volume(read_patient(tmp_path).exams[0])
    assert refusal.value.code == "pixels_unreadable"


def test_a_defined_length_in_a_compressed_file_is_refused(tmp_path: Path) -> None:
    files = write_ct(tmp_path)
    for file in files:
        content = file.read_bytes()
        plain, rle = (b"\x02\0\x10\0UI" + bytes([n, 0]) for n in (20, 20))
        assert plain in content
        content = content.replace(plain + b"1.2.840.10008.1.2.1\0", rle + b"1.2.840.10008.1.2.5\0")
        file.write_bytes(content + b"\xfe\xff\xdd\xe0\0\0\0\0")
    with pytest.raises(InputRefused, match="no compressed pixel data"):
        load_volume(read_patient(tmp_path).exams[0])


def test_stored_values_of_a_single_file(tmp_path: Path) -> None:
    stored = noise(1, 32, 40).astype(np.uint16)
    [file] = write_ct(tmp_path, stored, stack(1))
    for name in ("plain", *SYNTAXES):
        if name != "plain":
            compress(file, SYNTAXES[name], [encode(name, stored[0], 12)], BitsStored=12, HighBit=11)
        header = read_header(file)
        assert header is not None
        assert header.stored is not None
        np.testing.assert_array_equal(read_stored(file, header.stored), stored[0])


def test_the_files_of_a_child(tmp_path: Path) -> None:
    """What runs in a child, here without one: the frames of a file are found once."""
    file, stored = multiframe(tmp_path, 3, "table")
    header = read_header(file)
    assert header is not None
    assert header.stored is not None
    form = Form(JPEG + "90", 32, 48, 16, 12, False)
    request = {"file": str(file), "offset": header.stored.element_offset, "frames": 5}
    files = worker._Files(max_inflated=10**6)
    for k in (4, 0):
        frame, tag, vr = files.compressed({**request, "frame": k}, form)
        assert (tag, vr) == (0x7FE00010, "OB")
        np.testing.assert_array_equal(np.frombuffer(frame.data, "<u2"), stored[k].ravel())
    with pytest.raises(UndecodableFrame, match="no compressed"):
        files.compressed({**request, "frame": 0, "offset": 0}, form)
    # After an error nothing is remembered.
    assert len(files.compressed({**request, "frame": 1}, form)[0].data) == 32 * 48 * 2
    assert files._stream is not None
    files._stream.close()


def test_the_deflated_files_of_a_child(tmp_path: Path) -> None:
    stored = noise(1)
    [file] = write_ct(tmp_path, stored)
    ds = dcmread(file)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(file, enforce_file_format=True)
    form = Form(str(DeflatedExplicitVRLittleEndian), 10, 12, 16, 16, False)
    request = {"file": str(file), "offset": 0, "frame": 0, "frames": 1}
    files = worker._Files(max_inflated=10**6)
    frame, _, vr = files.inflated(request, form)
    assert vr == "OW"
    np.testing.assert_array_equal(np.frombuffer(frame.data, "<u2"), stored.ravel())
    with pytest.raises(UndecodableFrame, match="240 bytes"):
        files.inflated({**request, "frames": 2}, form)
    with pytest.raises(MemoryError):
        worker._Files(max_inflated=300).inflated(request, form)
    del ds.PixelData
    ds.save_as(file, enforce_file_format=True)
    with pytest.raises(UndecodableFrame, match="no pixel data"):
        worker._Files(max_inflated=10**6).inflated(request, form)

"""DICOM objects of one invented patient, full of what must not survive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
STUDY, SERIES, IMAGE = (f"1.3.12.2.1107.5.1.4.20240315101533{n}" for n in (1, 2, 3))
FRAME = "1.3.12.2.1107.5.1.4.20240315101533.9"
REPORT = "1.3.12.2.1107.5.1.4.20240315101533.8"
PLANTED = (
    # the patient, at every depth and in other words
    *("Zoltanfy", "ZOLTANFY", "Hedwiga", "MRN88211", "ACC77120", "19511203", "Maidenzky"),
    # staff, places, devices
    *("Drwerner", "Opnurse", "Refphys", "Kreisklinik", "CTSUITE9", "SN-55211", "Hauptweg"),
    # dates, times and the UIDs that hold them
    *("20240315", "2024-03-15", "101533", "20240316", "20240317", "1.3.12.2.1107"),
    # free text
    *("fell from ladder", "Aunt Trudel", "privately known", "graphic overlay", "curvetext"),
    *("PREAMBLETEXT", "SENDINGAE", "trailingtext", "+49 151 5556677", "padding after"),
)


def ct(number: int = 1, *, uid: str = IMAGE, date: str = "20240315") -> Dataset:
    """A slice of 8 x 8 pixels with planted texts."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CT, uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime = "101533", "101533.250000", "101600"
    ds.AcquisitionDateTime = f"{date}101533.123456+0100"
    ds.AccessionNumber = "ACC77120"
    ds.Modality = "CT"
    ds.Manufacturer, ds.ManufacturerModelName = "SIEMENS", "Flash"
    ds.InstitutionName, ds.InstitutionAddress = "Kreisklinik Nord", "Hauptweg 3"
    ds.ReferringPhysicianName = "Refphys^Anna"
    ds.StationName = "CTSUITE9"
    ds.StudyDescription = "Hip of Hedwiga ZOLTANFY, fell from ladder"
    ds.SeriesDescription = "Thin BONE Zoltanfy MRN88211 1.25 mm 2024-03-15 Aunt Trudel"
    ds.OperatorsName = "Opnurse^Eva"
    ds.PatientName, ds.PatientID = "Zoltanfy^Hedwiga^^Dr", "MRN88211"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19511203", "F", "072Y"
    ds.OtherPatientIDs = "MRN88211-OLD"
    ds.PatientMotherBirthName = "Maidenzky"
    ds.PatientTelephoneNumbers = "+49 151 5556677"
    ds.AdditionalPatientHistory = "fell from ladder"
    ds.PatientComments = "Aunt Trudel called"
    ds.ContrastBolusAgent = "Ultravist by Drwerner"
    ds.BodyPartExamined = "HIP"
    ds.SliceThickness, ds.KVP = "1.25", "120"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "SN-55211", "VB10"
    ds.ProtocolName = "Hip Zoltanfy"
    ds.DateOfLastCalibration = "20240316"
    ds.ConvolutionKernel = ["Br59d", "3"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, FRAME
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "101533", "2", str(number)
    ds.ImagePositionPatient = ["0", "0", str(number)]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImageComments = "privately known"
    ds.PerformedProcedureStepStartDate = date
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "CTHIP", "99LOCAL"
    procedure.CodeMeaning = "CT hip, Drwerner asks"
    ds.ProcedureCodeSequence = [procedure]
    deep = Dataset()
    deep.ReferencedSOPClassUID, deep.ReferencedSOPInstanceUID = CT, IMAGE
    deep.add_new(0x00191010, "LO", "privately known")
    note = Dataset()
    note.OperatorsName, note.TextString = "Drwerner", "Aunt Trudel"
    note.StudyDate, note.StudyTime = "20240317", "101533"
    note.InstitutionName = "Kreisklinik"
    deep.PurposeOfReferenceCodeSequence = [note]
    ds.SourceImageSequence = [deep]
    ds.RequestAttributesSequence = [note]
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", b"privately known Zoltanfy")
    block.add_new(0x11, "SQ", [note])
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SmallestImagePixelValue = 3
    ds.PixelSpacing = ["0.5", "0.5"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.add_new(0x50002500, "LO", "curvetext of Zoltanfy")
    ds.add_new(0x60004000, "LT", "graphic overlay of Zoltanfy")
    ds.add_new(0x60003000, "OW", b"graphic overlay ")
    ds.PixelData = np.arange(64, dtype="<u2").tobytes()
    ds.add_new(0xFFFCFFFC, "OB", b"padding after.. ")
    return ds


def report() -> Dataset:
    """A structured report about the slice."""
    ds = ct()
    for keyword in ("PixelData", "Rows", "Columns", "SmallestImagePixelValue"):
        del ds[keyword]
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = SR, REPORT, "SR"
    ds.SeriesInstanceUID = SERIES + ".7"
    ds.ValueType, ds.CompletionFlag, ds.VerificationFlag = "CONTAINER", "COMPLETE", "VERIFIED"
    ds.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    verifier = Dataset()
    verifier.VerifyingObserverName, verifier.VerifyingOrganization = "Drwerner", "Kreisklinik"
    verifier.VerificationDateTime = "20240317101533"
    verifier.VerifyingObserverIdentificationCodeSequence = [code("4711", "99KIS", "Drwerner")]
    ds.VerifyingObserverSequence = [verifier]
    number = item("NUM", "118565006", "SCT", "Volume")
    measured = Dataset()
    measured.NumericValue = "1234.5"
    measured.MeasurementUnitsCodeSequence = [code("mm3", "UCUM", "cubic millimeter")]
    number.MeasuredValueSequence = [measured]
    text = item("TEXT", "121106", "DCM", "Comment")
    text.TextValue = "Zoltanfy, seen by Drwerner on 2024-03-15: fell from ladder"
    label = item("TEXT", "112039", "DCM", "Tracking Identifier")
    label.TextValue = "L1"
    person = item("PNAME", "121008", "DCM", "Person Observer Name")
    person.PersonName = "Drwerner^A"
    day, clock, both = (
        item(v, "111060", "DCM", "Study Date") for v in ("DATE", "TIME", "DATETIME")
    )
    day.Date, clock.Time, both.DateTime = "20240317", "101533", "20240317101533.5"
    uid = item("UIDREF", "112040", "DCM", "Tracking Unique Identifier")
    uid.UID = FRAME
    image = item("IMAGE", "121112", "DCM", "Source of Measurement")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, IMAGE
    image.ReferencedSOPSequence = [reference]
    inner = item("CONTAINER", "126010", "DCM", "Imaging Measurements")
    inner.ContentSequence = [number, text, label, person, day, clock, both, uid, image]
    ds.ContentSequence = [inner]
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def item(kind: str, value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = "CONTAINS", kind
    ds.ConceptNameCodeSequence = [code(value, scheme, meaning)]
    return ds


def write(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write with a preamble and file meta that carry planted texts too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.SourceApplicationEntityTitle = "SENDINGAE"
    ds.file_meta.PrivateInformationCreatorUID = UID(FRAME)
    ds.file_meta.PrivateInformation = b"privately known "
    ds.preamble = b"PREAMBLETEXT".ljust(128, b"\0")
    ds.save_as(path, enforce_file_format=True)
    return path

"""Compressed pixels of untrusted files, decoded in child processes. See ``docs/methods/dicom.md``.

This package imports nothing of the rest of hoimg, nor pydicom: a child starts with it alone.
"""

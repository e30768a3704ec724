"""The PACS: studies pulled from an archive, a report's DICOM objects pushed into it.

``address`` and ``credentials`` say where and who; ``web`` (DICOMweb) and ``dimse`` (C-FIND, C-GET,
C-MOVE, C-STORE) are two ways to the same four questions (``archive``); ``pull``, ``push`` and
``listen`` ask them; ``folder`` keeps what came.
"""

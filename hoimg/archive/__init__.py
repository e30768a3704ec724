"""Many patients: which there are, each analysed in a process of its own, results in one database.

Needs a POSIX system. Nothing here knows how a patient is analysed; :mod:`hoimg.archive.child` calls
:mod:`hoimg.pipeline` in the process that was started for one.
"""

from __future__ import annotations

"""An archive without DICOMweb: C-FIND, C-GET or C-MOVE, and C-STORE, through pynetdicom.

C-GET needs nothing but a name (AE title) that the archive lets in: images come back over the same
connection. C-MOVE makes the archive open a connection to an address that its administrator has
entered for that name; it is used where an address is given, since many archives know no C-GET.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO
from queue import Queue
from typing import TYPE_CHECKING, Any

from hoimg.errors import HoimgError
from hoimg.pacs.address import DimseAddress
from hoimg.pacs.archive import STUDY, Instance, Query
from hoimg.pacs.association import associated, broken_off, status_of
from hoimg.pacs.errors import PacsError
from hoimg.pacs.storage import OUT_OF_RESOURCES, SUCCESS, entity, start_storage, unheard
from hoimg.pacs.tls import Tls

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

WAITING = 8
"""Objects that have come and are not written yet; the archive waits meanwhile."""
MAX_CONTEXTS = 126
"""Presentation contexts of one association: 128, less those of the query itself."""
_PENDING = (0xFF00, 0xFF01)
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_USUAL_IMAGES = tuple(_STORAGE + n for n in ("2", "2.1", "1", "1.1", "1.1.1"))
_USUAL_OBJECTS = tuple(
    _STORAGE + n for n in ("66.4", "88.34", "88.33", "88.22", "11.1", "7", "481.3")
)
"""What hoimg reads (CT, CR, DX) and writes (segmentations, reports, presentation states, pictures,
structure sets), for archives that do not say of what class their objects are."""
_SYNTAXES = tuple(
    f"1.2.840.10008.1.2{n}"
    for n in (
        *("", ".1", ".2", ".1.99", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80"),
        *(".4.81", ".4.90", ".4.91", ".4.201", ".4.202", ".4.203"),
    )
)
"""Transfer syntaxes of CT and films; each is offered by itself, so that nothing is transcoded."""
_PLAIN_SYNTAXES = _SYNTAXES[:4]
"""Of objects that are no images: one association has no room for every class with every syntax."""


class DimseArchive:
    """An archive reached by DIMSE, see :class:`~hoimg.pacs.archive.Archive`.

    Args:
        address: Where.
        aet: The name that we call ourselves.
        listen: Host and port where C-MOVE can send to us; None for C-GET.
        tls: Certificates, for an address with TLS; with ``listen`` ours is among them.

    Raises:
        UsageError: when a file of ``tls`` holds no certificate.
    """

    def __init__(
        self,
        address: DimseAddress,
        aet: str,
        listen: tuple[str, int] | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._address, self._aet, self._listen = address, aet, listen
        self._client = (tls or Tls()).client() if address.tls else None
        self._server = tls.server() if tls and address.tls and listen else None
        self._open = ExitStack()
        self._take: Callable[[Event], int] | None = None
        self._classes: dict[tuple[str, str], set[str]] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def __enter__(self) -> DimseArchive:
        self._open.enter_context(unheard())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def studies(self, query: Query) -> list[dict[str, str]]:
        """The studies that it names, whether they match or not."""
        asked = dict.fromkeys(STUDY, "") | query.asked()
        with self._searching() as find:
            return [{k: _text(answer, k) for k in asked} for answer in find("STUDY", asked)]

    def instances(self, study_uid: str) -> tuple[list[Instance], int]:
        """Every object of a study, series by series, and how many the archive counts."""
        found: dict[Instance, None] = {}
        counted = 0
        with self._searching() as find:
            asked = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": ""}
            for series in find("SERIES", {**asked, "NumberOfSeriesRelatedInstances": ""}):
                uid = _text(series, "SeriesInstanceUID")
                asked = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": uid}
                items = find("IMAGE", {**asked, "SOPInstanceUID": "", "SOPClassUID": ""})
                members = {Instance(study_uid, uid, _text(i, "SOPInstanceUID")) for i in items}
                found |= dict.fromkeys(sorted(members))
                said = _text(series, "NumberOfSeriesRelatedInstances")
                counted += int(said) if said.isdigit() else len(members)
                self._classes[study_uid, uid] = {_text(i, "SOPClassUID") for i in items} - {""}
                self._sizes[study_uid, uid] = len(members)
        return list(found), counted

    def fetch(self, wanted: Sequence[Instance]) -> Iterator[tuple[Instance, bytes | PacsError]]:
        """Objects of one series: all of it at once, or those that are wanted one by one."""
        came: Queue[tuple[Instance, bytes] | HoimgError | None] = Queue(WAITING)
        ended = threading.Event()

        def take(event: Event) -> int:
            if ended.is_set():
                return OUT_OF_RESOURCES
            uids = event.dataset
            instance = Instance(
                *(_text(uids, f"{k}InstanceUID") for k in ("Study", "Series", "SOP"))
            )
            came.put((instance, event.encoded_dataset()))
            return SUCCESS

        def ask() -> None:
            try:
                self._retrieve(wanted, take)
                came.put(None)
            except HoimgError as error:
                came.put(error)
            except Exception as error:  # whatever it is, the one who waits has to hear of it
                came.put(broken_off(self._address, type(error).__name__))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        missing = {(i.series_uid, i.sop_uid): i for i in wanted}
        try:
            while (item := came.get()) is not None:
                if isinstance(item, HoimgError):
                    raise item
                if (asked := missing.pop((item[0].series_uid, item[0].sop_uid), None)) is not None:
                    yield asked, item[1]
        finally:
            ended.set()
            while asking.is_alive():  # let a handler that waits for room go on
                while not came.empty():
                    came.get()
                asking.join(0.01)
        for instance in missing.values():
            yield instance, PacsError("the archive did not send it", "not_found")

    def store(self, data: bytes) -> None:
        """Store one file."""
        from pydicom import dcmread
        from pynetdicom import build_context

        from hoimg.dicom.quiet import quiet_pydicom

        with quiet_pydicom():
            dataset = dcmread(BytesIO(data))
            syntax = dataset.file_meta.TransferSyntaxUID
            context = build_context(dataset.SOPClassUID, syntax)
            with self._association([context]) as association:
                if not association.accepted_contexts:
                    raise PacsError("the archive does not take objects of this class", "refused")
                status = association.send_c_store(dataset)
        code = status_of(status, self._address)
        if code != SUCCESS and code >> 12 != 0xB:  # Bxxx: stored, with remarks
            raise PacsError(f"the archive does not take an object (status {code:04X}H)", "refused")

    @contextmanager
    def _searching(self) -> Iterator[Callable[[str, dict[str, str]], list[Dataset]]]:
        """A function that asks for the answers at a level, over one association."""
        from pydicom import Dataset
        from pynetdicom import build_context
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            StudyRootQueryRetrieveInformationModelFind as Find,
        )

        with self._association([build_context(Find)]) as association:
            if not association.accepted_contexts:
                raise PacsError(f"{self._address.name}: offers no search (C-FIND)", "refused")

            def find(level: str, keys: dict[str, str]) -> list[Dataset]:
                question = Dataset()
                question.QueryRetrieveLevel = level
                if any(not value.isascii() for value in keys.values()):
                    question.SpecificCharacterSet = "ISO_IR 192"
                for keyword, value in keys.items():
                    setattr(question, keyword, value)
                found = []
                for status, answer in association.send_c_find(question, Find):
                    code = status_of(status, self._address)
                    if code in _PENDING and answer is not None:
                        found.append(answer)
                    elif code != SUCCESS:
                        raise PacsError(
                            f"{self._address.name}: refuses a search (status {code:04X}H); its "
                            "log may say why",
                            "refused",
                        )
                return found

            yield find

    def _retrieve(self, wanted: Sequence[Instance], take: Callable[[Event], int]) -> None:
        """Have objects sent to ``take``; what the archive does not send is simply not there."""
        from pydicom import Dataset

        first = wanted[0]
        question = Dataset()
        question.StudyInstanceUID, question.SeriesInstanceUID = first.study_uid, first.series_uid
        question.QueryRetrieveLevel = "SERIES"
        questions = [question]
        if len(wanted) != self._sizes.get((first.study_uid, first.series_uid)):
            questions = []
            for instance in wanted:
                single = Dataset()
                single.update(question)
                single.QueryRetrieveLevel, single.SOPInstanceUID = "IMAGE", instance.sop_uid
                questions.append(single)
        if self._listen is None:
            self._get(questions, (first.study_uid, first.series_uid), take)
        else:
            self._move(questions, self._listen, take)

    def _get(
        self,
        questions: Sequence[Dataset],
        series: tuple[str, str],
        take: Callable[[Event], int],
    ) -> None:
        from pynetdicom import build_context, build_role, evt
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            StudyRootQueryRetrieveInformationModelGet as Get,
        )

        known = sorted(self._classes.get(series, ()))
        images, objects = (known, ()) if known else (_USUAL_IMAGES, _USUAL_OBJECTS)
        classes = [*images, *objects]
        pairs = [(c, s) for s in _PLAIN_SYNTAXES for c in objects]
        pairs += [(c, s) for s in _SYNTAXES for c in images]
        contexts = [build_context(Get), *(build_context(c, s) for c, s in pairs[:MAX_CONTEXTS])]
        roles = [build_role(c, scp_role=True) for c in classes]
        handlers = [(evt.EVT_C_STORE, take)]
        with self._association(contexts, roles, handlers) as association:
            if not any(c.abstract_syntax == Get for c in association.accepted_contexts):
                raise PacsError(
                    f"{self._address.name}: offers no C-GET; have its administrator enter this "
                    "machine's AE title, address and port, and use C-MOVE with --listen HOST:PORT",
                    "cannot_fetch",
                )
            for question in questions:
                self._run(association.send_c_get(question, Get), "C-GET")

    def _move(
        self,
        questions: Sequence[Dataset],
        listen: tuple[str, int],
        take: Callable[[Event], int],
    ) -> None:
        from pynetdicom import build_context
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            StudyRootQueryRetrieveInformationModelMove as Move,
        )

        if self._take is None:  # the first series: the port stays open for the others
            server = start_storage(entity(self._aet), *listen, self._hand_on, self._server)
            self._open.callback(server.shutdown)
        self._take = take
        with self._association([build_context(Move)]) as association:
            if not association.accepted_contexts:
                raise PacsError(f"{self._address.name}: offers no C-MOVE", "cannot_fetch")
            for question in questions:
                self._run(association.send_c_move(question, self._aet, Move), "C-MOVE")

    def _hand_on(self, event: Event) -> int:
        assert self._take is not None
        return self._take(event)

    def _run(self, answers: Any, what: str) -> None:
        hint = "" if what == "C-GET" else f", or it knows no address of {self._aet} (--listen)"
        for status, _ in answers:
            code = status_of(status, self._address)
            # Bxxx: some could not be sent; those that do not come are named one by one.
            if code not in (SUCCESS, *_PENDING) and code >> 12 != 0xB:
                raise PacsError(
                    f"{self._address.name}: refuses {what} (status {code:04X}H){hint}; its "
                    "administrator may have to let us",
                    "cannot_fetch",
                )

    def _association(
        self, contexts: Any, roles: Any = (), handlers: Any = ()
    ) -> AbstractContextManager[Association]:
        return associated(self._address, self._aet, self._client, contexts, roles, handlers)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(str(v).strip() for v in value)
    return "" if value is None else str(value).strip()

"""The server by raw HTTP, and edits.json under it: what is refused, and what cannot get lost."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from review_requests import NOTE, ask, decide, with_anatomy
from synthetic_report import patient

from hoimg.cli.main import run
from hoimg.edits import Applied, Edit, Edits, FilmRegionEdit, read_edits
from hoimg.errors import UsageError
from hoimg.report import write_report
from hoimg.report.saved import read_saved
from hoimg.review.decisions import Asked, added
from hoimg.review.guard import MAX_BODY
from hoimg.review.places import Place, Places
from hoimg.review.server import reviewed
from hoimg.review.store import Conflict, Store, without


def test_the_address_opens_the_session_and_gives_a_cookie_no_script_reads(server):
    status, headers, body = ask(server, "GET", f"/?key={server.guard.key}", Cookie=None)
    assert status == 200
    assert headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert "connect-src &#39;self&#39;" in body.decode()
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert server.url.startswith("http://127.0.0.1:")
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "hoimg_review_1=x"},
        {"Cookie": "={;"},
        {"Host": "evil.example"},
        {"Host": "evil.example:PORT"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": ["127.0.0.1:PORT", "evil.example"]},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:PORT"},
        {"Origin": "http://localhost:PORT"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_strangers_are_refused_and_nothing_changes(server, folder, headers, method):
    before = (folder / "edits.json").read_bytes()
    port = str(server.guard.port)
    given = {
        k: [x.replace("PORT", port) for x in v]
        if isinstance(v, list)
        else v and v.replace("PORT", port)
        for k, v in headers.items()
    }
    target = "/api/decide" if method == "POST" else "/"
    body = json.dumps(NOTE).encode() if method == "POST" else None
    status, got, answer = ask(server, method, target, body, **given)
    assert status == 403
    assert "Set-Cookie" not in got
    assert b"data-lesion-id" not in answer
    assert (folder / "edits.json").read_bytes() == before


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": None}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": None}, 415),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "1e9"}, 411),
        ({"Content_Length": str(MAX_BODY + 1)}, 413),
        ({"Transfer_Encoding": "chunked"}, 411),
        ({"If_Match": None}, 412),
        ({"If_Match": '"0"'}, 412),
    ],
    ids=str,
)
def test_a_change_is_json_of_bounded_length_about_what_was_seen(server, folder, headers, status):
    before = (folder / "edits.json").read_bytes()
    assert decide(server, NOTE, **headers)[0] == status
    assert (folder / "edits.json").read_bytes() == before
    assert decide(server, NOTE)[0] == 200
    assert [e.note for e in read_edits(folder / "edits.json").edits] == ["seen"]


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/exams/../../secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/%2fetc%2fpasswd",
        "/private.txt",
        "/exams",
        "/exams/",
        "/report.json/",
        "/report.json%00.html",
        "/.edits-x.partial",
        "http://127.0.0.1/../secret.txt",
    ],
)
def test_only_the_reports_own_files_are_served(server, target):
    status, _, body = ask(server, "GET", target)
    assert status == 404
    assert b"the report" not in body
    assert b"root:" not in body


def test_the_reports_files_are_served_and_no_link_leads_out(server, folder):
    status, headers, body = ask(server, "GET", "/report.json")
    assert (status, body) == (200, (folder / "report.json").read_bytes())
    assert headers["Content-Disposition"] == "attachment"
    (folder / "lesions.csv").unlink()
    (folder / "lesions.csv").symlink_to(folder.parent / "outside.csv")
    (folder.parent / "outside.csv").write_text("outside")
    assert ask(server, "GET", "/lesions.csv")[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_not_known(server, method):
    status, headers, _ = ask(server, method, "/api/decide")
    assert status == 501
    assert not [name for name in headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"kind": "note", "lesion": "L1", "note": " ", "reader": "R."}, "write the note"),
        ({**NOTE, "reader": "  "}, "who you are"),
        ({**NOTE, "lesion": "L9"}, "no lesion"),
        ({**NOTE, "kind": "destroy"}, "kind"),
        ({**NOTE, "kind": "relabel"}, "name the label"),
        ({**NOTE, "kind": "split", "points_lps_mm": [[-30, 12, 40]]}, "not outlined"),
        ({**NOTE, "kind": "cut", "points_lps_mm": [[-30, 12, 40]]}, "not outlined"),
        ({**NOTE, "kind": "cut", "slice": "oblique"}, "slice"),
        ({**NOTE, "kind": "merge", "other": "L1"}, "no CT shows both"),
        ({**NOTE, "kind": "include", "exam_id": "x", "number": 1}, "not among those"),
        ({**NOTE, "kind": "confirm", "exam_id": "x", "number": 0}, "not among those"),
        ({**NOTE, "note": "x" * 20_001}, "note"),
        ({**NOTE, "more": 1}, "more"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_makes_no_sense_is_told_and_not_kept(server, folder, asked, words):
    before = (folder / "edits.json").read_bytes()
    status, told = decide(server, asked)
    assert status == 422
    assert words in told["error"]
    assert (folder / "edits.json").read_bytes() == before


def test_a_rejected_lesion_is_rejected_in_every_exam_that_shows_it(server, folder):
    status, state = decide(
        server, {**NOTE, "kind": "exclude", "lesion": "L3", "reason": "artefact"}
    )
    assert status == 200
    kept = read_edits(folder / "edits.json").edits
    # L3 is absent in the first of four exams.
    assert [e.exam_id for e in kept] == [e.exam_id for e in patient().report.exams[1:]]
    assert {(e.action, e.reason, e.reader, e.lesion) for e in kept} == {
        ("exclude", "artefact", "R.", "L3")
    }
    assert len({e.time for e in kept}) == 1
    (one,) = next(x for x in state["lesions"] if x["id"] == "L3")["decisions"]
    assert (one["exams"], one["pending"]) == (3, True)
    body = json.dumps({"time": one["time"]}).encode()
    status, _, answer = ask(server, "POST", "/api/undo", body)
    assert status == 200
    assert json.loads(answer)["pending"] == 0
    assert read_edits(folder / "edits.json") == Edits()


def test_a_cut_goes_through_two_points_upright_on_the_slice(server, folder):
    place = server.what.places.of("L1")[-1]
    x, y, z = place.point_lps_mm
    asked = {**NOTE, "kind": "cut", "exam_id": place.exam_id, "slice": "axial"}
    before = (folder / "edits.json").read_bytes()
    for points, words in (
        ([[x - 9, y, z]], "two points of the line"),
        ([[x - 9, y, z], [x - 9, y + 0.9, z + 30]], "within 1 mm"),
        ([[x - 9, y + 200, z], [x + 9, y + 200, z]], "one side of that line"),
    ):
        status, told = decide(server, {**asked, "points_lps_mm": points})
        assert status == 422
        assert words in told["error"]
    assert (folder / "edits.json").read_bytes() == before
    # The second point may be taken on another slice: the cut stands upright all the same.
    assert decide(server, {**asked, "points_lps_mm": [[x - 9, y, z], [x + 9, y, z + 4]]})[0] == 200
    (edit,) = read_edits(folder / "edits.json").edits
    assert (edit.action, edit.point_lps_mm) == ("cut", place.point_lps_mm)
    a, b, c = np.array(edit.more_points_lps_mm)
    normal = np.cross(b - a, c - a)
    assert np.allclose(normal / np.linalg.norm(normal), [0, -1, 0], atol=1e-9)


def test_a_split_needs_points_that_lie_in_the_lesion(server, folder):
    place, other = (server.what.places.of(name)[-1] for name in ("L1", "L2"))
    assert place.exam_id == other.exam_id
    x, y, z = place.point_lps_mm
    asked = {**NOTE, "kind": "split", "exam_id": place.exam_id}
    before = (folder / "edits.json").read_bytes()
    for second in ([x, y + 500, z], other.point_lps_mm):
        status, told = decide(server, {**asked, "points_lps_mm": [[x, y, z], second]})
        assert (status, told["error"]) == (422, "point 2 does not lie in L1 of that exam")
    assert (folder / "edits.json").read_bytes() == before
    assert decide(server, {**asked, "points_lps_mm": [[x, y, z], [x, y, z + 1]]})[0] == 200
    (edit,) = read_edits(folder / "edits.json").edits
    assert (edit.point_lps_mm, edit.more_points_lps_mm) == ((x, y, z), ((x, y, z + 1),))


def test_two_lesions_are_merged_only_where_they_are_two(folder):
    saved = read_saved(folder)
    first, second = saved.measured[:2]
    one = tuple(Place(e.exam_id, 1, point_lps_mm=(0, 0, 0)) for e in (first, second))
    two = (
        Place(first.exam_id, 2, point_lps_mm=(5, 0, 0)),
        Place(second.exam_id, 1, point_lps_mm=(0, 0, 0)),
    )
    asked = Asked(kind="merge", lesion="L1", other="L2")
    now = datetime(2025, 1, 2, tzinfo=UTC)
    places = Places({"L1": one, "L2": two})
    (edit,) = added(Edits(), asked, saved, places, "R.", now).edits
    assert (edit.exam_id, edit.more_points_lps_mm) == (first.exam_id, ((5, 0, 0),))
    with pytest.raises(UsageError, match="no CT shows both, as two"):
        added(Edits(), asked, saved, Places({"L1": one[1:], "L2": two[1:]}), "R.", now)


@pytest.mark.parametrize("text", ["{}", None])
def test_a_new_report_in_the_folder_ends_the_review(server, folder, text):
    (folder / "manifest.json").unlink()
    if text is not None:
        (folder / "manifest.json").write_text(text)
    status, told = decide(server, NOTE)
    assert status == 422
    assert "made anew" in told["error"]


def test_edits_that_were_broken_by_hand_are_told(server, folder, monkeypatch):
    seen = f'"{server.what.store.read()[1]}"'
    (folder / "edits.json").write_text('{"edits": [')
    status, _, body = ask(server, "GET", "/api/review")
    assert status == 422
    assert "is no file of edits" in json.loads(body)["error"]
    status, told = decide(server, NOTE, If_Match=seen)
    assert status == 422
    assert "is no file of edits" in told["error"]
    # Broken between the refusal of a version and the answer.
    monkeypatch.setattr(Store, "change", lambda *_: (_ for _ in ()).throw(Conflict))
    assert decide(server, NOTE, If_Match=seen)[0] == 422


def test_a_label_map_that_cannot_be_read_any_more_is_told(server, folder):
    exam = server.what.places.of("L1")[-1].exam_id
    (folder / server.what.saved.exam(exam).labelmap).write_bytes(b"none")
    points = [[0, 0, 0], [1, 1, 1]]
    asked = {**NOTE, "kind": "split", "exam_id": exam, "points_lps_mm": points}
    status, told = decide(server, asked)
    assert status == 422
    assert "lesions.nii.gz" in told["error"]


@pytest.mark.parametrize("target", ["http://[", "http://[/?key=KEY", "http://[x]/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_target_that_is_none_is_refused(server, method, target):
    target = target.replace("KEY", server.guard.key)
    status, headers, body = ask(server, method, target, b"{}" if method == "POST" else None)
    assert status == 400
    assert "Set-Cookie" not in headers
    assert method == "HEAD" or json.loads(body) == {"error": "there is no such address"}


@pytest.mark.parametrize("fault", [ConnectionResetError, BrokenPipeError, RuntimeError])
def test_a_browser_that_breaks_off_is_nothing_to_tell(server, fault, capsys):
    try:
        raise fault
    except fault:
        server.handle_error(None, ("127.0.0.1", 1))
    assert bool(capsys.readouterr().err) == (fault is RuntimeError)


def test_a_new_report_in_the_folder_may_replace_only_edits_that_it_holds(folder):
    one, two = (Edit(action="note", point_lps_mm=(k, 0, 0), note=str(k)) for k in (1, 2))
    (folder / "edits.json").write_text(Edits(edits=(one, two)).text())
    result = with_anatomy(patient())
    with pytest.raises(UsageError, match=r"edits\.json: was not written by hoimg, or was changed"):
        write_report(replace(result, edits=Edits(edits=(one,))), folder)
    assert read_edits(folder / "edits.json").edits == (one, two)
    done = two.model_copy(update={"exam_id": "day0", "note": "2"})
    write_report(replace(result, edits=Edits(edits=(one, done))), folder)
    assert read_edits(folder / "edits.json").edits == (one, done)


def test_a_confirmed_place_that_the_new_report_outlined_is_no_lost_one(folder):
    place = FilmRegionEdit(box=(1, 2, 3, 4), time=datetime(2025, 1, 2, tzinfo=UTC))
    (folder / "edits.json").write_text(Edits(regions=(place,)).text())
    result = with_anatomy(patient())
    other = place.model_copy(update={"box": (1, 2, 3, 5), "applied": True})
    with pytest.raises(UsageError, match="was changed"):
        write_report(replace(result, edits=Edits(regions=(other,))), folder)
    done = place.model_copy(update={"applied": True})
    write_report(replace(result, edits=Edits(regions=(done,))), folder)
    assert read_edits(folder / "edits.json").regions == (done,)


def test_a_changed_page_is_not_served(folder):
    page = folder / "report.html"
    page.write_text(page.read_text() + "<script>1</script>")
    with pytest.raises(UsageError, match="was changed since"):
        reviewed(folder, None)


def test_the_store_writes_whole_files_and_tells_of_changes_elsewhere(tmp_path):
    path = tmp_path / "edits.json"
    path.write_text(Edits().text())
    store = Store(path)
    _, seen = store.read()
    one = Edit(action="note", point_lps_mm=(0, 0, 0), note="one")
    _, after = store.change(seen, lambda e: e.model_copy(update={"edits": (one,)}))
    with pytest.raises(Conflict):
        store.change(seen, lambda e: Edits())
    assert store.read() == (Edits(edits=(one,)), after)

    def fails(_edits: Edits) -> Edits:
        raise UsageError("no")

    with pytest.raises(UsageError):
        store.change(after, fails)
    assert store.read()[0] == Edits(edits=(one,))
    assert [p.name for p in tmp_path.iterdir()] == ["edits.json"]


def test_a_disk_that_is_full_is_told_and_costs_nothing(server, folder, monkeypatch):
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = folder / "edits.json"
    path.chmod(0o640)
    before = sorted(folder.iterdir()), path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, told = decide(server, NOTE)
    assert status == 422
    assert told["error"].endswith("edits.json: cannot be written (No space left on device)")
    assert (sorted(folder.iterdir()), path.read_bytes()) == before
    assert decide(server, NOTE)[0] == 200
    assert path.stat().st_mode & 0o777 == 0o640


def test_many_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "edits.json"
    path.write_text(Edits().text())
    store = Store(path)

    def add(number: int) -> None:
        edit = Edit(action="note", point_lps_mm=(number, 0, 0), note=str(number))
        while True:
            try:
                store.change(
                    store.read()[1],
                    lambda e: e.model_copy(update={"edits": (*e.edits, edit)}),
                )
                return
            except Conflict:
                continue

    threads = [threading.Thread(target=add, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(e.note) for e in read_edits(path).edits) == list(range(12))


def test_what_is_in_the_maps_cannot_be_taken_back_by_undo():
    now = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    done = Edit(
        action="exclude",
        point_lps_mm=(0, 0, 0),
        time=now,
        applied=Applied(outcome="excluded", was="lesion"),
    )
    said = Edit(
        action="accept",
        point_lps_mm=(0, 0, 0),
        time=now,
        applied=Applied(outcome="noted", was="lesion"),
    )
    new = Edit(action="exclude", point_lps_mm=(1, 0, 0), time=now)
    assert without(Edits(edits=(done, said, new)), now).edits == (done,)


def test_the_command_serves_until_it_is_interrupted(folder):
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from hoimg.cli.main import main; main(sys.argv[1:])",
            *("review", str(folder), "--no-browser", "--reader", "R."),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        address, _, key = url.removeprefix("http://").partition("/?key=")
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", f"/?key={key}")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert out == ""
    assert "The report: " in err, "nothing was decided"


def test_a_taken_port_is_a_usage_error(server, folder, capsys):
    other = shutil.copytree(folder, folder.with_name("other"))
    words = ["review", str(other), "--no-browser", "--port", str(server.guard.port)]
    for _ in range(2):  # the report is let go again
        assert run(words) == 2
        assert "leave it away for a free one" in capsys.readouterr().err
    assert run([*words, "-o", str(folder.with_name("new"))]) == 2
    assert "-o goes with the scans" in capsys.readouterr().err
    assert run([*words[:2], str(folder / "none"), *words[2:]]) == 2
    assert "there is nothing" in capsys.readouterr().err


def test_a_folder_that_is_no_report_is_a_usage_error(tmp_path, capsys):
    assert run(["review", str(tmp_path), "--no-browser"]) == 2
    assert "no report can be read there" in capsys.readouterr().err

"""Every outcome is one exit code, and every failure one line on standard error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import hoimg
from hoimg.cli import main as cli
from hoimg.errors import HoimgError, InputRefused, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def failing(monkeypatch):
    """Put a command ``fail`` into the program that raises what it is given."""

    def put(error: BaseException) -> None:
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        app.callback()(cli.root)

        @app.command("fail")
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)

    return put


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HoimgError("a.dcm: broken; copy it again"), 1),
        (UsageError("a.dcm: broken; copy it again"), 2),
        (InputRefused("a.dcm: broken; copy it again"), 3),
    ],
)
def test_a_known_error_is_its_message_and_its_code(failing, capsys, error, code):
    failing(error)
    assert cli.run(["fail"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hoimg: a.dcm: broken; copy it again\n")


def test_a_message_of_several_lines_is_told_in_one(failing, capsys):
    failing(InputRefused("scans:\n  two patients\n  inside"))
    assert cli.run(["fail"]) == 3
    assert capsys.readouterr().err == "hoimg: scans: two patients inside\n"


def test_an_unexpected_error_hides_its_text_which_may_name_the_patient(failing, capsys):
    failing(ValueError("bad PN 'DOE^JANE'"))
    assert cli.run(["fail"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "unexpected ValueError at test_main.py:" in err
    assert "-v" in err
    assert "DOE" not in err


@pytest.mark.parametrize("words", [["-v", "fail"], ["fail", "-v"], ["fail", "--verbose"]])
def test_with_v_the_traceback_is_shown(failing, capsys, words):
    failing(ValueError("details"))
    assert cli.run(words) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("hoimg: unexpected ValueError at test_main.py:")
    assert err.splitlines()[-1].endswith(": details")


def test_an_error_of_the_system_names_the_file(failing, capsys):
    failing(OSError(28, "No space left on device", "report/report.json"))
    assert cli.run(["fail"]) == 1
    assert capsys.readouterr().err == "hoimg: report/report.json: No space left on device\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_ends_with_130(failing, capsys, error):
    failing(error)
    assert cli.run(["fail"]) == 130
    assert capsys.readouterr().err == "hoimg: interrupted\n"


def test_a_command_chooses_its_own_code(failing):
    failing(typer.Exit(4))
    assert cli.run(["fail"]) == 4


def test_main_exits_with_the_code(failing, monkeypatch):
    failing(InputRefused("no"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["fail"])
    assert ended.value.code == 3
    monkeypatch.setattr(sys, "argv", ["hoimg", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nosuch"], "No such command 'nosuch' (see 'hoimg --help')"),
        (["--nosuch"], "No such option: --nosuch (see 'hoimg --help')"),
        (["schema", "extra"], "(see 'hoimg schema --help')"),
        (["doctor", "--nosuch"], "(see 'hoimg doctor --help')"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_help_is(capsys, words, part):
    assert cli.run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hoimg: ")
    assert err.count("\n") == 1
    assert part in err


def test_the_first_screen_says_what_it_is_and_is_not(capsys):
    assert cli.run([]) == 0
    without_words = capsys.readouterr().out
    assert cli.run(["--help"]) == 0
    screen = capsys.readouterr().out
    assert screen == without_words
    text = " ".join(screen.split())
    for part in (
        "heterotopic ossification on serial CT",
        "research use only; not a medical device",
        "hoimg report scans/ -o report/",
        "3 input refused",
    ):
        assert part in text
    for name in cli.COMMANDS:
        assert f"\n  {name} " in screen
    assert max(len(line) for line in screen.splitlines()) <= 100


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(capsys, name):
    assert cli.run([name, "--help"]) == 0
    screen = capsys.readouterr().out
    assert screen.startswith(f"Usage: hoimg {name}")
    assert f"hoimg {name}" in screen.split("\n", 1)[1], "no example"
    assert "Example" in screen


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"hoimg {hoimg.__version__}\n"


words = st.lists(st.sampled_from(["report", "-q", "-v", "--quiet", "x", "-o", "--", "--verbose"]))


@given(words)
def test_hoisting_keeps_all_words_and_the_order_of_the_others(given_words):
    moved = cli.hoist(given_words)
    assert sorted(moved) == sorted(given_words)
    flags = {"-q", "-v", "--quiet", "--verbose"}
    head = given_words[: given_words.index("--")] if "--" in given_words else given_words
    rest = given_words[len(head) :]
    count = sum(w in flags for w in head)
    assert set(moved[:count]) <= flags
    assert moved[count:] == [w for w in head if w not in flags] + rest


def test_the_launcher_only_calls_the_command_and_equals_it():
    code = [line for line in (ROOT / "cli.py").read_text().split("\n") if line and line[0] != "#"]
    # The guard: a worker of a batch imports the file again.
    assert code == ["from hoimg.cli.main import main", 'if __name__ == "__main__":', "    main()"]
    program = "from hoimg.cli.main import main; main()"
    for words in (["--help"], ["schema"], ["nosuch"]):
        ran = [
            subprocess.run([sys.executable, *start, *words], capture_output=True, cwd=ROOT)
            for start in (["cli.py"], ["-c", program])
        ]
        assert ran[0].returncode == ran[1].returncode
        assert ran[0].stdout == ran[1].stdout
        assert ran[0].stderr == ran[1].stderr


def test_a_reader_that_goes_away_makes_no_noise():
    # More than a pipe holds is written to a pipe that nobody reads.
    program = (
        "import sys, typer; from hoimg.cli import main as m\n"
        "@m.app.command('flood')\n"
        "def flood():\n"
        "    for _ in range(20000): print('x' * 80)\n"
        "m.main(['flood'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == cli.BROKEN_PIPE


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "hoimg",
            ["numpy", "pydantic", "pydicom", "highdicom", "SimpleITK", "scipy", "skimage", "typer"],
        ),
        (
            "hoimg.cli.main",
            ["pydicom", "highdicom", "SimpleITK", "scipy", "skimage", "matplotlib", "networkx",
             "numpy", "rich", "structlog"],
        ),
    ],
)  # fmt: skip
def test_importing_brings_in_nothing_heavy(module, absent):
    program = f"import sys, {module}; print(*(m for m in {absent!r} if m in sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.strip() == ""


def test_the_public_names_are_found_where_they_live():
    assert set(hoimg.__all__) == set(dir(hoimg))
    for name in ("read_patient", "analyze_patient", "write_report"):
        assert callable(getattr(hoimg, name))
        assert getattr(hoimg, name).__module__.startswith("hoimg.")
    with pytest.raises(AttributeError, match="nosuch"):
        _ = hoimg.nosuch

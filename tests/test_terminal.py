"""What a person sees, without a terminal and with one: plain lines, escape codes shown, narrow tables."""

import io
import os
import pty
import subprocess
import sys

import pytest

from pipeline import terminal

COLUMNS = ["member", "fold", "score", "why"]
ROWS = [["resnet50", "0", "0.8123", "lr changed"], ["lite0", "1", "0.9", "a long reason " * 8]]


@pytest.fixture(autouse=True)
def fresh_console():
    terminal._console.cache_clear()
    yield
    terminal._console.cache_clear()


def test_messages_go_where_they_belong(capsys):
    terminal.say("CV 0.81 [bold]")
    terminal.stage("prepare", "up to date")
    terminal.warn("few images")
    terminal.error("no disk")
    out, err = capsys.readouterr()
    assert out == "CV 0.81 [bold]\nprepare   up to date\n"
    assert err == "warning: few images\nerror: no disk\n"


def test_escape_codes_and_broken_names_are_shown_and_not_sent(capsys):
    terminal.say("wing\x1b[31m\r\udcff.jpg\u202e moth é")
    out = capsys.readouterr().out
    assert out == "wing\\x1b[31m\\r\\udcff.jpg\\u202e moth é\n"


def test_table_has_plain_lines_without_a_terminal(capsys):
    terminal.table("CV", COLUMNS, ROWS)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "CV"
    assert lines[1].split() == COLUMNS
    assert lines[2].endswith("0.8123  lr changed")
    assert lines[3].startswith("lite0        1     0.9  a long")  # numbers align right
    assert len(lines) == 4  # nothing is folded
    assert "\x1b" not in "".join(lines)


def test_table_shows_markup_and_escape_codes_as_they_are(capsys):
    terminal.table("", ["id"], [["[red]x[/red]\x1b[2J"]])
    assert "[red]x[/red]\\x1b[2J" in capsys.readouterr().out


def test_table_without_rows_and_with_empty_cells(capsys):
    terminal.table("", COLUMNS, [])
    terminal.table("", COLUMNS, [["a", "", "", ""]])
    assert capsys.readouterr().out.count("member") == 2


def in_a_terminal(code: str, columns: int) -> str:
    """Run code whose standard output is a terminal of that width; return all that it was sent."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=follower, env=environment) as process:
        os.close(follower)
        sent = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux says so when the other side has closed
                break
            if not part:
                break
            sent += part
    os.close(leader)
    assert process.returncode == 0
    return sent.decode()


def test_table_folds_its_last_column_in_a_terminal_of_80(capsys):
    sent = in_a_terminal(f"from pipeline import terminal\nterminal.table('', {COLUMNS}, {ROWS})", 80)
    lines = sent.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 4
    assert "resnet50" in sent


def test_progress_in_a_terminal_ends_without_a_trace_on_the_last_line():
    code = """
from pipeline import terminal
with terminal.progress("train") as line:
    for i in range(3):
        line.update(i / 3, f"fold {i}: 1,234 images/s")
terminal.say("done")
"""
    assert in_a_terminal(code, 80).splitlines()[-1].endswith("done")


def test_progress_without_a_terminal_is_a_line_each_15_seconds(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    with terminal.progress("train") as line:
        for now in (1.0, 14.9, 15.0, 16.0, 31.0):
            line.update(now / 100, f"{now:.0f} images/s")
    assert capsys.readouterr().out == "train      15 %  15 images/s\ntrain      31 %  31 images/s\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.9, "1 min 0 s"),
        (3599.9, "1 h 0 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_duration_never_shows_sixty_of_anything(seconds, text):
    assert terminal.duration(seconds) == text


def test_closed_output_stops_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    terminal.say("nobody reads this")


@pytest.mark.parametrize("command", ["say('a\\u00e9')", "table('', ['x'], [['\\u00e9']])"])
def test_ascii_output_gets_escapes_not_an_error(command):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    code = f"from pipeline import terminal; terminal.{command}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\xe9" in done.stdout


def test_reader_that_leaves_early_is_no_error():
    code = """
from pipeline import terminal
for _ in range(20000):
    terminal.say("line")
terminal.table("", ["x"], [["y"]])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()

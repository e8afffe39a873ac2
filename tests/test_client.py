"""The client's answers are read defensively, its environment is clean; the real client meets the loopback."""

import sys
from pathlib import Path

import pytest

from pipeline.leaderboard import answers, client, credentials
from pipeline.leaderboard.answers import Answer, KaggleError
from tests.kaggle_server import KEY

PYTHON = sys.executable
LEAKS = (KEY, "topsecretsignature", "dGVzdGVy")  # the key, a signed address, base64 of "tester"


def fake_client(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a `kaggle` made of Python code beside the interpreter that client.py sees."""
    program = folder / "kaggle"
    program.write_text(f"#!{PYTHON}\nimport os, sys, time\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


LISTED = """
print("Warning: Looks like you're using an outdated version of `kaggle`")
print('[\\n  {"ref": 7, "fileName": "a.csv", "date": "d", "description": "sha:1", '
      '"status": "SubmissionStatus.COMPLETE", "publicScore": "0.5", "privateScore": ""},\\n  "odd"\\n]')
print("Next Page Token = abc")
"""


def test_list_is_found_between_other_lines(tmp_path, monkeypatch):
    fake_client(tmp_path, monkeypatch, LISTED)
    [found] = client.list_submissions("comp")
    assert (found.ref, found.status, found.public, found.private) == ("7", "COMPLETE", 0.5, None)


def test_no_submissions_is_an_empty_list_and_rubbish_is_not(tmp_path, monkeypatch):
    fake_client(tmp_path, monkeypatch, "print('No submissions found')")
    assert client.list_submissions("comp") == []
    fake_client(tmp_path, monkeypatch, "print('<html>busy</html>')")
    with pytest.raises(KaggleError, match="no usable answer"):
        client.list_submissions("comp")


def test_a_silent_client_is_stopped(tmp_path, monkeypatch):
    fake_client(tmp_path, monkeypatch, "time.sleep(60)")
    with pytest.raises(KaggleError, match="in time"):
        client.list_submissions("comp", timeout_seconds=0.3)


def test_verbose_is_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    monkeypatch.setenv("VERBOSE_OUTPUT", "true")
    fake_client(tmp_path, monkeypatch, "print([name for name in os.environ if name.startswith('VERB')])")
    assert client.call(("x",), 10).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        ("401 Client Error: Unauthorized", 13),
        ("403 Client Error: Forbidden for url", 14),
        ("404 Client Error: Not Found", 14),
        ("HTTPSConnectionPool: Max retries exceeded", 16),
        ("", 16),
    ],
)
def test_refusals_have_their_exit_codes(text, exit_code):
    fault = answers.refusal(Answer(1, "", text), "comp", "the list of submissions")
    assert fault.exit_code == exit_code


def test_credentials_are_found_in_the_clients_order(tmp_path):
    home = {"HOME": str(tmp_path)}
    assert credentials.find(home) is None
    key_file = tmp_path / ".config" / "kaggle" / "kaggle.json"
    key_file.parent.mkdir(parents=True)
    key_file.write_text('{"username": "a", "key": "secretsecret"}')
    key_file.chmod(0o644)
    found = credentials.find(home)
    assert found is not None
    assert found.source == str(key_file)
    assert f"chmod 600 {key_file}" in found.warning
    assert credentials.scrub("it is secretsecret", home) == "it is [hidden]"
    named = home | {"KAGGLE_USERNAME": "a", "KAGGLE_KEY": "b"}
    assert credentials.find(named) == ("KAGGLE_USERNAME and KAGGLE_KEY", "")
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "access_token").write_text("t")
    found = credentials.find(named)
    assert found is not None
    assert found.source.endswith("access_token")
    assert credentials.find(named | {"KAGGLE_API_TOKEN": "t"}) == ("KAGGLE_API_TOKEN", "")


def test_half_a_key_file_is_none(tmp_path):
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "kaggle.json").write_text('{"username": "a"')
    assert credentials.find({"HOME": str(tmp_path)}) is None


def test_real_client_submits_lists_and_counts(kaggle, tmp_path):
    path = tmp_path / "best.csv"
    path.write_text("id,label\n1,a\n")
    assert client.list_submissions("loopback") == []
    answer = client.submit("loopback", path, "message sha:12345678")
    assert "Successfully submitted" in answer.text
    assert kaggle.uploads["token-0"]["data"] == path.read_bytes()
    [found] = client.list_submissions("loopback")
    assert (found.ref, found.file_name, found.description) == ("1000", "best.csv", "message sha:12345678")
    assert client.limits("loopback") == answers.Limits(today=1, left=4)


def test_real_client_leaks_no_key_though_told_to_be_verbose(kaggle, tmp_path, monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    kaggle.fail["upload"] = 403
    path = tmp_path / "best.csv"
    path.write_text("id,label\n1,a\n")
    answer = client.submit("loopback", path, "m")
    assert answer.text
    assert not any(leak in answer.text for leak in LEAKS)


def test_real_client_is_told_the_rules_page(kaggle):
    kaggle.fail["ListSubmissions"] = 403
    kaggle.message = "You must accept the rules of this competition"
    with pytest.raises(KaggleError, match="competitions/loopback/rules") as caught:
        client.list_submissions("loopback")
    assert caught.value.exit_code == 14

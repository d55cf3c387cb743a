"""What may be shown: no secret survives in a log, a preview, an error or a repr."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecs_block.plan.redact import Redactor, looks_secret
from ecs_block.plan.secret import MASK

secrets = st.text(st.characters(codec="utf-8", exclude_characters="*\0"), min_size=4, max_size=20)
around = st.text(st.sampled_from("ab\"'\\\n é"), max_size=4)

SPELLINGS = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON with letters of any script": lambda value: json.dumps(value, ensure_ascii=False),
    "repr": repr,
    "repr of bytes": lambda value: repr(value.encode()),
    "repr of JSON": lambda value: repr(json.dumps({"environment": [{"name": "it's", "value": value}]})),
    "repr of JSON in bytes": lambda value: repr(json.dumps({"value": value, "other": "it's"}).encode()),
    "JSON of JSON": lambda value: json.dumps(json.dumps({"value": value})),
    "repr of a dict": lambda value: repr({"it's": [value]}),
}


@given(st.lists(secrets, min_size=1, max_size=3), around, around, st.sampled_from(list(SPELLINGS)))
@example(["esc\x1b'ape"], "", "", "repr")
@example(['it\'s "quoted"'], "", "", "repr of JSON")
@example(["back\\slash'"], '"', "", "repr of bytes")
@example(['{"json": "looking"}'], "", "", "JSON of JSON")
@example(["línea\nnueva"], "'", '"', "repr of JSON in bytes")
def test_no_known_secret_survives(known: list[str], before: str, after: str, spelling: str) -> None:
    """However a text spells a secret, the secret is not in what is left of it, nor can it be read back."""
    spell = SPELLINGS[spelling]
    shown = Redactor(known).text(spell(before + known[0] + after))
    bare = spell("")
    for secret in known[:1]:
        for spelt in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert spelt not in shown or spelt in bare or spelt in MASK
    assert MASK in shown


def test_a_secret_in_a_longer_one_leaves_no_rest() -> None:
    """Of two secrets, one in the other, the longer one is masked whole."""
    assert Redactor(["abcd", "abcdefgh"]).text("x abcdefgh abcd") == f"x {MASK} {MASK}"


def test_a_secret_of_bytes_that_are_no_text() -> None:
    """A secret that holds half a surrogate pair, as Python reads foreign bytes, breaks nothing and is masked."""
    assert Redactor(["pass\udcff"]).text("x pass\udcff") == f"x {MASK}"


def test_too_short_a_secret_is_left() -> None:
    """A secret of up to three characters would garble every text, and is masked by its name only."""
    assert Redactor(["abc"]).text("abcdef") == "abcdef"
    assert Redactor(["abc"]).payload({"DB_PASSWORD": "abc"}) == {"DB_PASSWORD": MASK}


URLS = {
    "postgres://ann:hunter2@db/x": f"postgres://ann:{MASK}@db/x",
    "see redis://:hunter2@h:1 and more": f"see redis://:{MASK}@h:1 and more",
    "http://u:p@ss@host/path": f"http://u:{MASK}@host/path",
    "https://host:443/a@b": "https://host:443/a@b",
    '{"a": "http://h:80", "b": "x@y"}': '{"a": "http://h:80", "b": "x@y"}',
}


@pytest.mark.parametrize(("text", "shown"), URLS.items())
def test_passwords_in_urls(text: str, shown: str) -> None:
    """The password in a URL is masked, all of it; ports and other text stay."""
    assert Redactor().text(text) == shown


SECRET_NAMES = [
    "DB_PASSWORD",
    "db.pass",
    "PGPASSWORD",
    "passwd",
    "PASSPHRASE",
    "AWS_SECRET_ACCESS_KEY",
    "aws_access_key_id",
    "GITHUB_TOKEN",
    "token",
    "apiKey",
    "API-KEY",
    "PRIVATE_KEY",
    "SIGNING_KEY",
    "splunk-token",
    "Authorization",
    "SENTRY_DSN",
    "connectionString",
    "GOOGLE_CREDENTIALS",
    "GH_PAT",
]
HARMLESS_NAMES = [
    "clientToken",
    "nextToken",
    "TOKENIZERS_PARALLELISM",
    "tokenised",
    "secrets",
    "secretOptions",
    "credentialsParameter",
    "PATH",
    "AUTHOR",
    "KEYBOARD",
    "MONKEY",
    "COMPASS",
    "awslogs-group",
    "PATTERN",
    "name",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_say_so(name: str) -> None:
    """A name that says that its value is secret is believed."""
    assert looks_secret(name)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_names_that_only_sound_so(name: str) -> None:
    """A name that only sounds like a secret's hides nothing."""
    assert not looks_secret(name)


def test_a_payload_is_masked_by_its_names() -> None:
    """Variables, tags, log options and labels are masked by name; what points to a secret stays."""
    payload = {
        "clientToken": "shown",
        "overrides": {
            "containerOverrides": [
                {
                    "name": "main",
                    "environment": [
                        {"name": "DB_PASSWORD", "value": "x"},
                        {"name": "TOKENIZERS_PARALLELISM", "value": "1"},
                    ],
                    "secrets": [{"name": "API_KEY", "valueFrom": "arn:aws:ssm:parameter/key"}],
                }
            ]
        },
        "tags": [{"key": "api-token", "value": "x"}, {"key": "team", "value": "data"}],
        "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "x", "splunk-url": "http://u:pw@h"}},
        "dockerLabels": {"secret.key": "x"},
        "repositoryCredentials": {"credentialsParameter": "arn"},
    }
    shown = Redactor().payload(payload)
    main = shown["overrides"]["containerOverrides"][0]
    assert shown["clientToken"] == "shown"
    assert [item["value"] for item in main["environment"]] == [MASK, "1"]
    assert main["secrets"] == [{"name": "API_KEY", "valueFrom": "arn:aws:ssm:parameter/key"}]
    assert [tag["value"] for tag in shown["tags"]] == [MASK, "data"]
    assert shown["logConfiguration"]["options"] == {"splunk-token": MASK, "splunk-url": f"http://u:{MASK}@h"}
    assert shown["dockerLabels"] == {"secret.key": MASK}
    assert shown["repositoryCredentials"] == {"credentialsParameter": "arn"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"password": "x", "day": "x"}', '{"password": "**********", "day": "x"}'),
        ('{"a":{"api-key":5,"b":[{"token":"q\\"q"}]}}', '{"a":{"api-key":"**********","b":[{"token":"**********"}]}}'),
        ('curl -d \'{"client_secret" : "x"}\' /', 'curl -d \'{"client_secret" : "**********"}\' /'),
        ('{"secrets": [{"name": "A"}], "tokens": {}}', '{"secrets": [{"name": "A"}], "tokens": {}}'),
        ('say "password": ', 'say "password": '),
    ],
)
def test_json_within_a_text(text: str, shown: str) -> None:
    """A member whose name says that it is secret is masked, in a variable and in a command."""
    assert Redactor().payload({"environment": [{"name": "CONFIG", "value": text}], "command": ["sh", text]}) == {
        "environment": [{"name": "CONFIG", "value": shown}],
        "command": ["sh", shown],
    }


@pytest.mark.parametrize("value", ["<hunter2", "<secret from env:X> hunter2", "<registered at runtime>"])
def test_only_the_placeholder_of_a_reference_is_shown(value: str) -> None:
    """Under a secret name only `<secret from …>` stays: another value may begin with `<` as well."""
    assert Redactor().payload({"DB_PASSWORD": value}) == {"DB_PASSWORD": MASK}
    assert Redactor().payload({"DB_PASSWORD": "<secret from env:DB>"}) == {"DB_PASSWORD": "<secret from env:DB>"}


COMMANDS = [
    (["--password=hunter2", "--user=ann"], [f"--password={MASK}", "--user=ann"]),
    (["--password", "hunter2", "run"], ["--password", MASK, "run"]),
    (["--password=two words"], [f"--password={MASK}"]),
    (["--token", "--verbose"], ["--token", "--verbose"]),
    (["env", "DB_PASSWORD=hunter2", "LEVEL=5", "prog"], ["env", f"DB_PASSWORD={MASK}", "LEVEL=5", "prog"]),
    (
        ["sh", "-c", "psql --password=hunter2 && API_KEY='a b' run --lr=1"],
        ["sh", "-c", f"psql --password={MASK} && API_KEY={MASK} run --lr=1"],
    ),
    (["curl", "https://h/?access_token=abc"], ["curl", f"https://h/?access_token={MASK}"]),
    (["token", "hunter2"], ["token", "hunter2"]),
    (["python", "tokenizer.py", "--lr=1"], ["python", "tokenizer.py", "--lr=1"]),
    (["echo", 5, "x"], ["echo", 5, "x"]),
]


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_command_lines(command: list[Any], shown: list[Any]) -> None:
    """In a command line, or a script in one, the values of secret options and variables are masked."""
    assert Redactor().payload({"command": command}) == {"command": shown}


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_a_payload_is_copied_and_keeps_its_shape(value: Any) -> None:
    """Masking copies: it changes no shape and never the value that it was given."""
    before = json.dumps(value)
    shown = Redactor(["secret"]).payload(value)
    assert json.dumps(value) == before
    assert type(shown) is type(value)
    if isinstance(value, dict | list):
        assert len(shown) == len(value)

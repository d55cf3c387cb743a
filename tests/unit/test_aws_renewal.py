"""Credentials that expire while tasks run: the provider chain is asked anew, and what AWS refused is sent again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from wire import Server, refusal

from ecs_block.aws import Aws, AwsCredentials, clients, renewal
from ecs_block.errors import AccessDenied, AwsError, Kind, NoCredentials

ONCE = {"retries": {"total_max_attempts": 1}}
TASKS = {"tasks": [], "failures": []}
EXPIRED = refusal("ExpiredTokenException", "The security token included in the request is expired")
UNKNOWN = refusal("UnrecognizedClientException", "The security token included in the request is invalid.")


class Account:
    """An AWS that knows some keys, and says of all others that they have expired (or what it is told to say)."""

    def __init__(self) -> None:
        self.known = {"AKIDOLD"}
        self.refusal = EXPIRED
        self.roles = 0
        self.server = Server(self._answer)

    def _answer(self, key: str, operation: str) -> tuple[int, Any]:
        if key not in self.known:
            return 400, _as_query(self.refusal) if operation == "AssumeRole" else self.refusal
        if operation == "AssumeRole":
            self.roles += 1
            self.known.add(f"ASIAROLE{self.roles}")
            return 200, _role(f"ASIAROLE{self.roles}")
        return 200, TASKS

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.server.seen]


def _as_query(body: dict[str, Any]) -> str:
    code = str(body["__type"]).split("#")[1]
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{body['message']}</Message></Error></ErrorResponse>"


def _role(key: str) -> str:
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>"
    whole = f"<Credentials>{keys}<SessionToken>t</SessionToken><Expiration>{until}</Expiration></Credentials>"
    return f"<AssumeRoleResponse><AssumeRoleResult>{whole}</AssumeRoleResult></AssumeRoleResponse>"


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account()
    yield made
    made.server.close()


class Machine:
    """A home with AWS's files, and an `Aws` on a clock of its own."""

    def __init__(self, account: Account, home: Path) -> None:
        self.account = account
        self.folder = home / ".aws"
        self.folder.mkdir(parents=True)
        self.time = 1000.0

    def keys(self, key: str, profile: str = "default") -> None:
        (self.folder / "credentials").write_text(
            f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = secret-{key}\naws_session_token = token-{key}\n"
        )

    def config(self, **settings: str) -> None:
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.folder / "config").write_text(f"[profile dev]\n{lines}")

    def process(self, script: str) -> None:
        tool = self.folder / "tool"
        tool.write_text(f"#!{sys.executable}\n{script}")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        self.config(credential_process=str(tool))

    def aws(self, **fields: Any) -> Aws:
        credentials = AwsCredentials(
            region_name="us-east-1", endpoint_url=self.account.server.url, botocore_config=ONCE, **fields
        )
        return Aws(credentials, now=lambda: self.time)


@pytest.fixture
def machine(account: Account, tmp_path: Path) -> Machine:
    home = tmp_path / "user"
    made = Machine(account, home)
    made.keys("AKIDOLD")
    return made


def look(aws: Aws) -> dict[str, Any]:
    return aws._invoke("ecs", "DescribeTasks", None, {"tasks": ["1"]})


def refused(work: Callable[[], Any]) -> NoCredentials:
    with pytest.raises(NoCredentials) as caught:
        work()
    return caught.value


def test_a_rewritten_file_is_read_again(machine: Machine, account: Account) -> None:
    """The call that AWS refused for the old keys is sent again at once with the new ones, RunTask too."""
    aws = machine.aws()
    look(aws)
    account.known = {"AKIDNEW"}
    machine.keys("AKIDNEW")
    answer = aws._invoke("ecs", "RunTask", None, {"taskDefinition": "x", "clientToken": "t"})
    assert answer["tasks"] == []
    assert account.server.seen == [("AKIDOLD", "DescribeTasks"), ("AKIDOLD", "RunTask"), ("AKIDNEW", "RunTask")]


def test_other_clients_and_runs_get_the_new_keys(machine: Machine, account: Account) -> None:
    """Every service, and whoever has the same credentials."""
    first, second = machine.aws(), machine.aws()
    for aws in (first, second):
        look(aws)
    first._invoke("logs", "DescribeLogGroups", None, {})
    account.known = {"AKIDNEW"}
    machine.keys("AKIDNEW")
    look(first)
    account.server.seen.clear()
    look(second)
    first._invoke("logs", "DescribeLogGroups", None, {})
    look(machine.aws())
    assert account.keys == ["AKIDOLD", "AKIDNEW", "AKIDOLD", "AKIDNEW", "AKIDNEW"]


def test_keys_that_were_not_renewed(machine: Machine, account: Account) -> None:
    """The error may pass; it says where the keys came from and how to renew them, and shows none."""
    aws = machine.aws()
    look(aws)
    account.known = set()
    error = refused(lambda: look(aws))
    assert (error.kind, error.temporary, error.code) == (Kind.CREDENTIALS, True, "ExpiredTokenException")
    assert "They came from ~/.aws/credentials (profile default): write new ones there" in str(error)
    assert "AKIDOLD" not in str(error)
    assert account.keys == ["AKIDOLD", "AKIDOLD"]  # the same keys are not tried again at once
    machine.keys("AKIDNEW")
    account.known = {"AKIDNEW"}
    machine.time += renewal.PAUSE
    look(aws)
    assert account.keys[-1] == "AKIDNEW"


def test_new_keys_that_are_refused_too(machine: Machine, account: Account) -> None:
    """Each call is sent again once, not more."""
    aws = machine.aws()
    account.known = set()
    machine.keys("AKIDOLD")
    look_once = refused(lambda: look(aws))
    machine.keys("AKIDNEW")
    machine.time += renewal.PAUSE
    account.server.seen.clear()
    look_again = refused(lambda: look(aws))
    assert account.keys == ["AKIDOLD", "AKIDNEW"]
    assert str(look_again) == str(look_once)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often the chain is asked because keys had expired."""
    times: list[None] = []

    class Counted(clients.Login):
        def __init__(self, credentials: AwsCredentials) -> None:
            times.append(None)
            super().__init__(credentials)

    monkeypatch.setattr(renewal, "Login", Counted)
    return times


def test_the_chain_is_not_hammered(machine: Machine, account: Account, asked: list[None]) -> None:
    """It may have to start a process, or ask a service."""
    aws = machine.aws()
    look(aws)
    account.known = set()
    for _ in range(20):
        machine.time += renewal.PAUSE / 10
        refused(lambda: look(aws))
    assert len(asked) == 2


def test_many_threads_ask_once(machine: Machine, account: Account, asked: list[None]) -> None:
    """All of them see the expiry, one asks the chain, and every call succeeds."""
    aws = machine.aws()
    look(aws)
    account.known = {"AKIDNEW"}
    machine.keys("AKIDNEW")
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: look(aws), range(20)))
    assert [answer["tasks"] for answer in answers] == [[]] * 20
    assert len(asked) == 1
    assert account.keys.count("AKIDNEW") == 20


def test_many_threads_that_find_nothing_ask_once(machine: Machine, account: Account, asked: list[None]) -> None:
    """All of them are told."""
    aws = machine.aws()
    look(aws)
    account.known = set()
    with ThreadPoolExecutor(10) as threads:
        errors = list(threads.map(lambda _: refused(lambda: look(aws)), range(20)))
    assert {error.kind for error in errors} == {Kind.CREDENTIALS}
    assert len(asked) == 1


def test_unknown_keys_are_final_at_first(machine: Machine, account: Account) -> None:
    """Keys that AWS has never accepted are wrong."""
    account.known, account.refusal = set(), UNKNOWN
    error = refused(lambda: look(machine.aws()))
    assert (error.kind, error.temporary) == (Kind.DENIED, False)
    assert "does not know these keys" in str(error)
    assert "~/.aws/credentials" in str(error)


def test_unknown_keys_that_were_accepted_before_are_waited_for(machine: Machine, account: Account) -> None:
    """They were replaced, or have ended long ago: new ones may come."""
    aws = machine.aws()
    look(aws)
    account.known, account.refusal = {"AKIDNEW"}, UNKNOWN
    assert refused(lambda: look(aws)).kind is Kind.CREDENTIALS
    machine.keys("AKIDNEW")
    machine.time += renewal.PAUSE
    look(aws)


def test_a_wrong_clock_is_not_cured_by_other_keys(machine: Machine, account: Account, asked: list[None]) -> None:
    """Nor is a wrong secret."""
    account.known = set()
    account.refusal = refusal("InvalidSignatureException", "Signature expired: a is now earlier than b (c - 5 min.)")
    with pytest.raises(AwsError):
        look(machine.aws())
    assert not asked


def test_a_profile_is_named(machine: Machine, account: Account) -> None:
    """As the file spells it, wherever the file is."""
    machine.keys("AKIDOLD", "dev")
    account.known = set()
    error = refused(lambda: look(machine.aws(profile_name="dev")))
    assert "~/.aws/credentials (profile dev)" in str(error)


def test_the_environment_is_read_again(machine: Machine, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes only from within the process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    aws = machine.aws()
    look(aws)
    account.known = {"AKIDNEW"}
    assert "They came from the environment" in str(refused(lambda: look(aws)))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    look(aws)
    # Whoever comes back to the old environment gets its keys, not those that came after.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOLD")
    account.known = {"AKIDOLD", "AKIDNEW"}
    look(machine.aws())
    assert account.keys[-2:] == ["AKIDNEW", "AKIDOLD"]


def test_references_are_read_again(machine: Machine, account: Account, tmp_path: Path) -> None:
    """The files that aws_credentials refers to."""
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text("AKIDOLD\n")
    secret.write_text("s")
    aws = machine.aws(aws_access_key_id={"$secret": f"file:{key}"}, aws_secret_access_key={"$secret": f"file:{secret}"})
    look(aws)
    account.known = {"AKIDNEW"}
    assert f"file:{key}" in str(refused(lambda: look(aws)))
    key.write_text("AKIDNEW\n")
    machine.time += renewal.PAUSE
    look(aws)


def test_keys_of_the_block_stay(machine: Machine, account: Account) -> None:
    """Nothing can renew them but another block."""
    aws = machine.aws(
        aws_access_key_id="AKIDBLOCK", aws_secret_access_key="block-secret", aws_session_token="block-token"
    )
    error = refused(lambda: look(aws))
    assert "the keys given in aws_credentials" in str(error)
    for secret in ("AKIDBLOCK", "block-secret", "block-token"):
        assert secret not in str(error)


def test_a_role_is_assumed_again(machine: Machine, account: Account) -> None:
    """When its session has ended before its time."""
    aws = machine.aws(assume_role_arn="arn:aws:iam::1:role/runner")
    look(aws)
    account.known = {"AKIDOLD"}
    look(aws)
    assert account.keys == ["AKIDOLD", "ASIAROLE1", "ASIAROLE1", "AKIDOLD", "ASIAROLE2"]


def test_a_role_that_cannot_be_assumed(machine: Machine, account: Account) -> None:
    """The error is that of the role, and not of the call that was never sent."""
    account.known = set()
    account.refusal = refusal(
        "AccessDenied",
        "User: arn:aws:iam::1:user/me is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/runner",
    )
    with pytest.raises(AccessDenied, match="ecs:DescribeTasks was not sent") as caught:
        look(machine.aws(assume_role_arn="arn:aws:iam::1:role/runner"))
    assert caught.value.action == "sts:AssumeRole"
    assert '"Resource": "arn:aws:iam::1:role/runner"' in str(caught.value)


def test_a_role_whose_source_has_expired(machine: Machine, account: Account) -> None:
    """It is renewed by way of its source."""
    aws = machine.aws(assume_role_arn="arn:aws:iam::1:role/runner")
    account.known = {"AKIDNEW"}
    error = refused(lambda: look(aws))
    assert error.kind is Kind.CREDENTIALS
    assert "sts:AssumeRole failed" in str(error)
    assert "the role arn:aws:iam::1:role/runner, assumed with others" in str(error)
    machine.keys("AKIDNEW")
    machine.time += renewal.PAUSE
    look(aws)


def test_credentials_that_come_later(machine: Machine, account: Account) -> None:
    """In a notebook, say: that there were none is not remembered."""
    (machine.folder / "credentials").unlink()
    aws = machine.aws()
    assert refused(lambda: look(aws)).kind is Kind.DENIED
    machine.keys("AKIDOLD")
    look(aws)
    look(machine.aws())


GIVES = """
import json
print(json.dumps({"Version": 1, "AccessKeyId": "AKIDOLD", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": %r}))
"""
FAILS = """
import sys
sys.exit("the vault is sealed")
"""


def test_a_process_that_fails(machine: Machine) -> None:
    """Its own words are told, and whose it is."""
    machine.process(FAILS)
    error = refused(lambda: look(machine.aws(profile_name="dev")))
    assert error.kind is Kind.CREDENTIALS
    assert "the vault is sealed" in str(error)
    assert "credential_process of the profile dev" in str(error)


def test_a_process_that_fails_later(machine: Machine, account: Account) -> None:
    """Nothing is sent meanwhile; it goes on once the process gives keys again."""
    machine.keys("AKIDOTHER", "other")
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    machine.process(GIVES % soon)
    aws = machine.aws(profile_name="dev")
    aws._client("ecs", None)  # these keys are so near their end that botocore asks for others before it signs
    machine.process(FAILS)
    error = refused(lambda: look(aws))
    assert (error.kind, account.keys) == (Kind.CREDENTIALS, [])
    assert "ecs:DescribeTasks was not sent" in str(error)
    assert "the vault is sealed" in str(error)
    machine.process(GIVES % (datetime.now(UTC) + timedelta(hours=1)).isoformat())
    machine.time += renewal.PAUSE
    look(aws)
    assert account.keys == ["AKIDOLD"]


def test_an_ended_login(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command that begins a new one is told, with the profile; the old one's token is not shown."""
    import botocore.credentials

    start = "https://d-1.awsapps.com/start"
    monkeypatch.setattr(botocore.credentials.SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))
    machine.config(sso_start_url=start, sso_region="us-east-1", sso_account_id="1", sso_role_name="dev")
    never = refused(lambda: look(machine.aws(profile_name="dev")))
    token = {"accessToken": "sso-token", "expiresAt": "2020-01-01T00:00:00UTC", "startUrl": start}
    (tmp_path / f"{hashlib.sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(token))
    ended = refused(lambda: look(machine.aws(profile_name="dev")))
    assert "does not exist" in str(never)
    assert "has expired" in str(ended)
    for error in (never, ended):
        assert error.kind is Kind.CREDENTIALS
        assert "was not sent" in str(error)
        assert "run `aws sso login --profile dev`" in str(error)
        assert "sso-token" not in str(error)


def test_half_of_the_keys(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing half is named."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    error = refused(lambda: look(machine.aws()))
    assert error.kind is Kind.DENIED
    assert "AWS_SECRET_ACCESS_KEY" in str(error)


def test_a_profile_without_its_source(machine: Machine) -> None:
    """botocore's word for it, as an error of ours."""
    machine.config(role_arn="arn:aws:iam::1:role/x", source_profile="nowhere")
    assert "nowhere" in str(refused(lambda: look(machine.aws(profile_name="dev"))))


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("assume-role", "source_profile"),
        ("assume-role-with-web-identity", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("container-role", "container's role"),
        ("iam-role", "instance's role"),
        ("login", "`aws login --profile dev`"),
        ("config-file", "~/.aws/config (profile dev)"),
        ("boto-config", "boto3's provider 'boto-config'"),
        (None, "boto3's provider 'unknown'"),
    ],
)
def test_every_source_has_its_words(method: str | None, word: str) -> None:
    """boto3's providers, by the names that it gives them."""
    assert word in renewal.told_of(AwsCredentials(), method, "dev")


def test_credentials_stay_what_they_are() -> None:
    """botocore writes into the configuration that it is given; ours is the key to the clients."""
    credentials = AwsCredentials(
        aws_access_key_id="AK", aws_secret_access_key="SK", region_name="us-east-1", botocore_config=ONCE
    )
    before = credentials.identity()
    Aws(credentials)._client("ecs", None)
    assert credentials.identity() == before
    assert os.getpid() in Aws(credentials).key

import json

from chassis.settings import Settings
from chassis.tokens import Caller, Signer, Verifier
from gateway import secrets


def test_what_is_made_signs_and_verifies_and_is_kept(tmp_path):
    private, public = tmp_path / "private", tmp_path / "public"
    private.mkdir()
    public.mkdir()
    secrets.make(private, public)
    made = {file.name: file.read_text() for file in private.iterdir()}
    assert {file.stat().st_mode & 0o77 for file in private.iterdir() if "jwks" not in file.name} == {0}
    caller = Caller("sto_1", "merchant", "key_1")
    verifier = Verifier((public / "regulars_token_jwks").read_text(), "wallet")
    assert verifier.verify(Signer(made["regulars_token_private_jwk"]).sign(caller, "wallet")) == caller
    secrets.make(private, public)
    assert {file.name: file.read_text() for file in private.iterdir()} == made


def test_what_services_may_know_signs_nothing(tmp_path):
    secrets.make(tmp_path, tmp_path)
    (public,) = json.loads((tmp_path / "regulars_token_jwks").read_text())["keys"]
    assert "d" not in public


def test_settings_come_from_files_where_the_environment_is_silent(tmp_path, monkeypatch):
    (tmp_path / "regulars_token_jwks").write_text('{"keys": []}\n')
    (tmp_path / "regulars_kafka").write_text("a file:9092")
    told = {"API_DATABASE_URL": "api", "WORKER_DATABASE_URL": "worker", "KAFKA": "the environment:9092", "PORT": "8080"}
    for name, value in {**told, "SECRETS": str(tmp_path)}.items():
        monkeypatch.setenv(f"REGULARS_{name}", value)
    settings = Settings()
    assert (settings.token_jwks, settings.kafka) == ('{"keys": []}', "the environment:9092")

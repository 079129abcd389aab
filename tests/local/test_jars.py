"""The downloads: what is damaged is found at the next start and fetched again, or it is named with what to do."""

import base64
import hashlib
import zipfile
from types import SimpleNamespace

import jgo.maven
import pytest

from regulars import jars, places, wheels
from regulars.trouble import Trouble

NAMES = ("kafka.jar", "clients.jar", "logging.jar")


class Maven:
    """A Maven Central of three small jars. It notes what is fetched of it."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.cut_short = False

    def __call__(self, repo_cache, **_):
        artifacts = [
            SimpleNamespace(filename=name, resolve=lambda name=name: self.fetch(repo_cache, name)) for name in NAMES
        ]
        dependencies = [SimpleNamespace(artifact=artifact) for artifact in artifacts]
        return SimpleNamespace(
            create_dependency=lambda name: name,
            resolver=SimpleNamespace(resolve=lambda _: (dependencies[:1], dependencies[1:])),
        )

    def fetch(self, repository, name):
        self.fetched.append(name)
        repository.mkdir(exist_ok=True)
        with zipfile.ZipFile(repository / name, "w") as jar:
            jar.writestr("A.class", name * 1000)
        if self.cut_short:
            content = (repository / name).read_bytes()
            (repository / name).write_bytes(content[: len(content) // 2])
        return repository / name


@pytest.fixture
def maven(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    maven = Maven()
    monkeypatch.setattr(jgo.maven, "MavenContext", maven)
    return maven


def cut(jar) -> None:
    jar.write_bytes(jar.read_bytes()[:-7])


def flip(jar) -> None:
    content = bytearray(jar.read_bytes())
    content[50] ^= 1
    jar.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, lambda jar: jar.unlink()])
def test_a_damaged_jar_is_found_and_fetched_again_and_only_that(maven, damage):
    assert not jars.intact()
    jars.fetch()
    assert jars.intact()
    damage(jars.folder() / "clients.jar")
    assert not jars.intact()
    maven.fetched.clear()
    jars.fetch()
    assert jars.intact()
    assert maven.fetched == ["clients.jar"]


def test_a_folder_without_its_checksums_is_fetched_again(maven):
    jars.fetch()
    (jars.folder() / jars.SUMS).write_text("[1")
    assert not jars.intact()
    jars.fetch()
    assert jars.intact()


def test_a_download_that_was_cut_short_is_not_kept_and_names_the_folder(maven):
    maven.cut_short = True
    with pytest.raises(Trouble, match=f"could not be fetched from Maven Central: .* remove {jars.cache()} first.$"):
        jars.fetch()
    assert not jars.folder().exists()
    maven.cut_short = False
    jars.fetch()
    assert jars.intact()


def test_what_a_killed_download_left_is_removed_by_the_next(maven):
    left = jars.cache() / f"{jars.DRAFT}left"
    left.mkdir(parents=True)
    jars.fetch()
    assert not left.exists()


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of one file, installed."""
    program, record = tmp_path / "part" / "program", tmp_path / "part-1.0.dist-info" / "RECORD"
    program.parent.mkdir()
    record.parent.mkdir()
    program.write_text("a program")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"a program").digest()).rstrip(b"=").decode()
    record.write_text(f"part/program,sha256={digest},9\npart-1.0.dist-info/RECORD,,\n")
    (record.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: part\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(wheels, "PARTS", ("part",))
    return program


def test_a_damaged_wheel_is_named_with_what_to_do(wheel, tmp_path):
    here = places.lay_out(tmp_path / "stack")
    assert wheels.cause(here) is None
    wheel.write_text("a progra")
    assert wheels.cause(here) == (
        f"The file {wheel} of the wheel part is damaged: run `uv cache clean part && uv sync --reinstall-package part`."
    )


def test_the_wheels_of_this_environment_are_whole(tmp_path):
    assert wheels.cause(places.lay_out(tmp_path / "stack")) is None

"""A folder that other code wrote: one sentence, and nothing is touched."""

import json
import shutil

import asyncpg
import pytest

from chassis import migrations
from regulars import jars, layout, places, postgres, programs
from regulars.stack import Stack
from regulars.trouble import Trouble


def files(stack: Stack) -> dict[str, bytes]:
    """All that is there; the lock is taken by whoever looks."""
    folders = {stack.places.folder, stack.places.data}
    return {
        str(file): file.read_bytes()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and file.name != "lock"
    }


@pytest.fixture
def stack(tmp_path):
    """A stack that has been up, by its files: nothing of it has to start."""
    stack = Stack.at(tmp_path / "stack", ports="free")
    places.make(stack.places)
    stack.remember({"password": "secret", "cluster_id": "ours"})
    layout.note(stack.places)
    for file, text in (
        (postgres.cluster(stack.places) / "PG_VERSION", f"{postgres.VERSION.partition('.')[0]}\n"),
        (stack.places.folder / "kafka" / "data" / "meta.properties", "# Kafka\nversion=1\ncluster.id=ours\n"),
    ):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    yield stack
    stack.erase()


def newer_layout(where) -> None:
    (where.folder / "layout.json").write_text(json.dumps({"layout": layout.LAYOUT + 1, "kafka": jars.VERSION}))


def older_layout(where) -> None:
    (where.folder / "layout.json").write_text(json.dumps({"layout": layout.LAYOUT - 1, "kafka": jars.VERSION}))


def newer_kafka(where) -> None:
    (where.folder / "layout.json").write_text(json.dumps({"layout": layout.LAYOUT, "kafka": "4.10.0"}))


def another_cluster(where) -> None:
    (where.folder / "kafka" / "data" / "meta.properties").write_text("cluster.id=theirs\n")


def older_postgres(where) -> None:
    (postgres.cluster(where) / "PG_VERSION").write_text("17\n")


def no_passwords(where) -> None:
    (where.folder / "state.json").unlink()


@pytest.mark.parametrize(
    ("happened", "sentence"),
    [
        (newer_layout, "was written by newer code (layout 2, and this is 1): update the clone"),
        (older_layout, "was written by older code (layout 0, and this is 1): use the clone that wrote it"),
        (newer_kafka, f"was written by Kafka 4.10.0, and this is {jars.VERSION}: update the clone"),
        (another_cluster, "belongs to the Kafka cluster theirs, and this stack's is ours: put back what was there"),
        (older_postgres, "was written by PostgreSQL 17, which 18 cannot read: use the clone that wrote it"),
        (no_passwords, "has data, but the passwords in"),
    ],
)
def test_what_other_code_wrote_is_refused_with_what_to_do_and_nothing_is_touched(stack, happened, sentence):
    layout.refuse_foreign(stack.places)
    happened(stack.places)
    before = files(stack)
    with pytest.raises(Trouble) as trouble:
        stack.up_parts()
    assert sentence in str(trouble.value)
    assert f"to begin anew: `regulars down`, then remove {stack.places.folder}" in str(trouble.value)
    assert str(trouble.value).count("\n") == 0
    assert files(stack) == before


def test_a_folder_of_before_there_was_a_note_is_taken_for_ours(stack):
    (stack.places.folder / "layout.json").unlink()
    layout.refuse_foreign(stack.places)


def test_a_folder_that_was_copied_does_not_begin_with_an_empty_database(stack, tmp_path):
    if not stack.places.owner:
        pytest.skip("only root's data lies outside of the folder")
    shutil.copytree(stack.places.folder, tmp_path / "copy")
    copy = Stack.at(tmp_path / "copy", ports="free")
    with pytest.raises(Trouble, match=f"was moved or copied here, and PostgreSQL's data is in {stack.places.data}"):
        copy.up_parts()
    shutil.rmtree(copy.places.data)


async def test_a_database_whose_migrations_are_newer_than_the_code_is_refused(parts, admin_url):
    await migrations.prepare(admin_url, "wallet", password=parts.password)
    layout.refuse_newer_schemas(parts.places, parts.ports, parts.password)
    connection = await asyncpg.connect(parts.admin_database_url(programs.database("wallet")))
    try:
        await connection.execute("INSERT INTO migration VALUES ('wallet', '0099_later.sql', 'x')")
        with pytest.raises(Trouble, match=r"database of wallet has had migration wallet/0099_later\.sql"):
            layout.refuse_newer_schemas(parts.places, parts.ports, parts.password)
    finally:
        await connection.execute("DELETE FROM migration WHERE name = '0099_later.sql'")
        await connection.close()


async def test_a_migration_that_was_edited_is_as_foreign_as_one_that_is_not_there(clone):
    database = await clone("wallet")
    assert await migrations.foreign(database.admin_url, "wallet") == []
    connection = await asyncpg.connect(database.admin_url)
    await connection.execute("UPDATE migration SET checksum = 'x' WHERE package = 'chassis' AND name LIKE '0001%'")
    await connection.close()
    assert await migrations.foreign(database.admin_url, "wallet") == ["chassis/0001_chassis.sql"]
    assert await migrations.foreign(f"{database.admin_url}_not_there", "wallet") == []

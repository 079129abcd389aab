"""The committed schemas say what the contracts say."""

import re

import pytest

from contracts import ids, schemas, topics

EVENTS = schemas.events()


def test_the_committed_schemas_are_current():
    assert schemas.found() == schemas.expected()


def test_event_types_are_a_noun_and_a_past_participle_and_unique():
    types = [event.TYPE for event in EVENTS]
    assert len(set(types)) == len(types)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+(\.v\d+)?", name) for name in types)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_every_event_is_keyed_by_a_field_of_its_own_and_frozen(event):
    assert event.KEY in event.model_fields
    assert event.TOPIC in topics.ALL
    assert event.model_config["frozen"]


PERSONAL = {"email", "name", "phone", "ip", "address"}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_personal_data_travels_on_ephemeral_topics_only(event):
    assert event.TOPIC.ephemeral or not PERSONAL & event.model_fields.keys()


def test_prefixes_are_unique():
    prefixes = [value for name, value in vars(ids).items() if name.isupper() and name != "SUFFIX"]
    assert len(set(prefixes)) == len(prefixes)

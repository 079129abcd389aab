"""Wires the gateway: a chassis service whose application stands behind the edge."""

from chassis.service import build
from gateway.assembly import at_the_edge
from gateway.settings import Settings

service = build("gateway", settings=Settings, known_customers=False, wrap=at_the_edge)

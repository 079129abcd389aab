"""What docker-compose.yml promises, as far as it shows without an engine."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from regulars import kafka, programs
from regulars.ports import SERVICES

FILE = YAML(typ="safe").load(Path(__file__).parents[2] / "docker-compose.yml")
CONTAINERS = FILE["services"]
OURS = {name: container for name, container in CONTAINERS.items() if container["image"].startswith("regulars/")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_as_api_and_worker_apart_once_its_database_is_migrated(service):
    module = programs.module(service)
    assert CONTAINERS[f"{service}-migrate"]["command"] == ["chassis.migrations", module]
    for kind in ("api", "worker"):
        container = CONTAINERS[f"{service}-{kind}"]
        assert container["build"]["args"] == {"SERVICE": service}
        assert container["command"] == [module, "--kind", kind]
        assert container["depends_on"].keys() >= {f"{service}-migrate", "topics", "keys"}


def test_only_the_gateway_is_published_and_only_on_this_machine():
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_may_do_nothing_but_its_work(name):
    container = OURS[name]
    assert (container["read_only"], container["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in container["security_opt"]
    assert not {"user", "privileged"} & container.keys()


def test_only_migrations_know_the_deployer_and_only_the_gateway_what_signs():
    of_the_deployer = {name for name, it in OURS.items() if "DEPLOYER_PASSWORD" in str(it.get("environment"))}
    assert of_the_deployer == {f"{service}-migrate" for service in (*SERVICES, "gateway")}
    assert not any("POSTGRES_PASSWORD" in str(container) for container in OURS.values())
    signing = {name for name, it in CONTAINERS.items() if any("private:" in mount for mount in it.get("volumes", []))}
    assert signing == {"gateway", "keys", "seed"}


def test_the_broker_is_set_as_the_local_one_is():
    environment = CONTAINERS["kafka"]["environment"]
    said = {name.removeprefix("KAFKA_").lower().replace("_", "."): str(value) for name, value in environment.items()}
    assert said.keys() >= {
        "auto.create.topics.enable",
        "offsets.retention.minutes",
        "group.coordinator.append.linger.ms",
    }
    assert said == {**said, **{name: kafka.SETTINGS[name] for name in kafka.SETTINGS.keys() & said.keys()}}

"""What the carts service is told beside what every service is."""

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """``public_url`` is where buyers reach the gateway: hosted payment pages lie there."""

    public_url: str = "http://127.0.0.1:8080"

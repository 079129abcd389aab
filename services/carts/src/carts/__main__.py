"""``python -m carts``."""

from carts.main import service

service.run()

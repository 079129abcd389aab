"""``python -m affiliates``."""

from affiliates.main import service

service.run()

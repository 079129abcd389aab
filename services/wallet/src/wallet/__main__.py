"""``python -m wallet``."""

from wallet.main import service

service.run()

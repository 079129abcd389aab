"""What the wallet may be asked over HTTP, a module for each noun."""

from chassis.http import Api
from wallet.api import adjustments, history

router = Api()
for noun in (adjustments, history):
    router.routes.extend(noun.router.routes)

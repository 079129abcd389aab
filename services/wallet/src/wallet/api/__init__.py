"""What the wallet may be asked over HTTP, a module for each noun."""

from chassis.http import Api
from wallet.api import adjustments, gift_codes, history, liability, promotions, settings, statements

router = Api()
for noun in (adjustments, gift_codes, history, liability, promotions, settings, statements):
    router.routes.extend(noun.router.routes)

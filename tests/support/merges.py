"""Two affiliates to merge, and the timer that does it."""

from affiliates import timers

(FOLLOW,) = (timer for timer in timers.ALL if timer.name == "follow merges")


async def two(shop):
    """Two affiliates, the one who will be merged first."""
    return await shop.enrol("old-code"), await shop.enrol("new-code")

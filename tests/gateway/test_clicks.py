"""Batches of clicks: none twice, none for ever, none waited for."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from patience import until
from ticking import ticking

from gateway import clicks
from gateway.clicks import Click, Clicks

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def now():
    return asyncio.get_running_loop().time()


def click(code="a"):
    return Click(code, "visitor", bot=False, at=AT)


class Affiliates:
    """Answers with what it is told, then with 200."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, bytes]] = []

    async def __call__(self, store_id: str, body: bytes) -> int:
        self.got.append((store_id, body))
        return self.answers.pop(0) if self.answers else 200

    def clicks(self) -> int:
        return sum(len(json.loads(body)["clicks"]) for _, body in self.got)


async def handed_over(taken: Clicks, *, but: int = 0) -> None:
    await until(lambda: taken.held, lambda held: held <= but, 5)


@pytest.mark.parametrize("answer", [0, 500, 503, 401, 403, 404, 429])
@ticking(clicks)
async def test_a_batch_goes_again_with_the_same_id_until_it_is_answered(answer):
    affiliates = Affiliates(answer, answer)
    taken = Clicks(affiliates)
    taken.add("store", click())
    await handed_over(taken)
    assert len(affiliates.got) == 3
    assert len(set(affiliates.got)) == 1


@ticking(clicks)
async def test_a_fault_in_sending_is_no_answer_and_silences_nobody():
    class Faulty(Affiliates):
        async def __call__(self, store_id, body):
            status = await super().__call__(store_id, body)
            if len(self.got) == 1:
                raise RuntimeError
            return status

    affiliates = Faulty()
    taken = Clicks(affiliates)
    taken.add("store", click("first"))
    await handed_over(taken)
    taken.add("store", click("second"))
    await handed_over(taken)
    assert [json.loads(body)["clicks"][0]["code"] for _, body in affiliates.got] == ["first", "first", "second"]
    assert affiliates.got[0] == affiliates.got[1]


@pytest.mark.parametrize("answer", [400, 409, 413, 422, 302])
@ticking(clicks)
async def test_a_batch_that_is_refused_is_counted_and_not_sent_again(answer):
    before = clicks.LOST.labels("refused")._value.get()
    affiliates = Affiliates(answer)
    taken = Clicks(affiliates)
    taken.add("store", click())
    await handed_over(taken)
    assert len(affiliates.got) == 1
    assert clicks.LOST.labels("refused")._value.get() - before == 1


@ticking(clicks)
async def test_clicks_gather_for_a_moment_into_one_batch_for_each_store():
    affiliates = Affiliates()
    taken, began = Clicks(affiliates), now()
    for number in range(300):
        taken.add(f"store {number % 2}", click())
    await handed_over(taken)
    assert 0.08 < now() - began < 1
    assert sorted((store_id, len(json.loads(body)["clicks"])) for store_id, body in affiliates.got) == [
        ("store 0", 150),
        ("store 1", 150),
    ]


@pytest.mark.parametrize(("stores", "seconds"), [(1, 0.0), (1, 0.1), (60, 0.02), (60, 0.1)])
@ticking(clicks)
async def test_a_kill_loses_only_the_clicks_of_the_last_moment(stores, seconds):
    """However they keep coming, a click waits 100 ms, or for the answer under way, and is held until its own."""
    taken_at: list[float] = []
    held_for: list[float] = []

    async def send(_store_id, body):
        await asyncio.sleep(seconds)
        answered_at = now()
        held_for.extend(answered_at - taken_at[int(each["code"])] for each in json.loads(body)["clicks"])
        return 200

    taken = Clicks(send)
    for _ in range(40):
        for store in range(stores):
            taken.add(f"store {store}", click(str(len(taken_at))))
            taken_at.append(now())
        await asyncio.sleep(0.01)
    await handed_over(taken)
    assert len(held_for) == len(taken_at)
    assert max(held_for) < 0.2 + 2 * seconds


@ticking(clicks)
async def test_a_full_batch_does_not_wait():
    affiliates = Affiliates()
    taken, began = Clicks(affiliates), now()
    for _ in range(1000):
        taken.add("store", click())
    await handed_over(taken)
    assert now() - began < 0.15
    assert [len(json.loads(body)["clicks"]) for _, body in affiliates.got] == [500, 500]


@ticking(clicks)
async def test_an_outage_makes_large_batches_and_loses_only_what_does_not_fit():
    before = clicks.LOST.labels("overflow")._value.get()
    affiliates = Affiliates(*[503] * 3)
    taken = Clicks(affiliates, most=700)
    taken.add("store", click("first"))
    await asyncio.sleep(0.3)
    for _ in range(1000):
        taken.add("store", click())
    assert taken.held == 700
    assert clicks.LOST.labels("overflow")._value.get() - before == 301
    await handed_over(taken)
    sizes = [len(json.loads(body)["clicks"]) for _, body in affiliates.got]
    assert sizes == [1, 1, 1, 1, 500, 199]


@ticking(clicks)
async def test_one_stores_trouble_is_not_anothers():
    class Partly(Affiliates):
        async def __call__(self, store_id, body):
            await super().__call__(store_id, body)
            return 503 if store_id == "troubled" else 200

    affiliates = Partly()
    taken = Clicks(affiliates)
    taken.add("troubled", click())
    for _ in range(3):
        taken.add("well", click())
        await handed_over(taken, but=1)
    assert len([1 for store_id, _ in affiliates.got if store_id == "well"]) == 3
    await taken.close()


@ticking(clicks)
async def test_closing_hands_over_what_is_held():
    affiliates = Affiliates()
    taken, began = Clicks(affiliates), now()
    taken.add("store", click())
    await asyncio.sleep(0)
    await taken.close()
    assert (affiliates.clicks(), taken.held) == (1, 0)
    assert now() - began < 0.15


@ticking(clicks)
async def test_closing_gives_up_and_counts_while_affiliates_is_away(monkeypatch):
    monkeypatch.setattr(clicks, "_LAST_CHANCE", 0.3)
    before = clicks.LOST.labels("shutdown")._value.get()
    affiliates = Affiliates(*[503] * 100)
    taken = Clicks(affiliates)
    taken.add("store", click())
    await taken.close()
    assert clicks.LOST.labels("shutdown")._value.get() - before == 1
    assert len(affiliates.got) < 5


def test_a_visitor_is_another_every_day_in_every_store_under_every_pepper():
    tomorrow = datetime(2026, 5, 2, tzinfo=UTC)
    told = [
        ("pepper", "store", "192.0.2.1", "browser", AT),
        ("pepper", "store", "192.0.2.1", "browser", tomorrow),
        ("pepper", "other", "192.0.2.1", "browser", AT),
        ("pepper", "store", "192.0.2.2", "browser", AT),
        ("pepper", "store", "192.0.2.1", "other", AT),
        ("other", "store", "192.0.2.1", "browser", AT),
    ]
    assert len({clicks.visitor(*each) for each in told}) == len(told)
    assert clicks.visitor(*told[0]) == clicks.visitor(*told[0])


@pytest.mark.parametrize(
    ("user_agent", "bot"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
            False,
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            False,
        ),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", True),
        ("facebookexternalhit/1.1", True),
        ("WhatsApp/2.23", True),
        ("curl/8.1", True),
        ("", True),
    ],
)
def test_a_machine_that_says_so_is_a_bot(user_agent, bot):
    assert clicks.is_bot(user_agent) is bot

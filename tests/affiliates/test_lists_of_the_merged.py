"""What is shown of affiliates who became one: to who is left all that both had, to others what they saw before."""

import re

from merges import two
from payout_desk import ask
from serving import merchant


async def test_what_was_asked_for_in_vain_is_shown_to_who_is_left(shop):
    old, new = await two(shop)
    await shop.program(custom_links_need_approval=True)
    portal = shop.client.as_(merchant(shop.store_id, ["customers.read", "customers.write"]))
    for customer, reason in ((old, "ours"), (new, "still ours")):
        await portal.post(f"/dev/v1/customers/{customer}/affiliate/links", {"code": "wanted"})
        await shop.client.post("/dev/v1/affiliates/links/wanted/reject", {"reason": reason})
    await portal.post(f"/dev/v1/customers/{old}/affiliate/links", {"code": "brand"})
    await shop.client.post("/dev/v1/affiliates/links/brand/reject", {"reason": "no"})
    await shop.merge(old, new)
    await shop.follow()
    links = (await shop.client.get(f"/dev/v1/customers/{new}/affiliate/links")).data
    rejected = {link["code"]: link["reason"] for link in links if link["state"] == "rejected"}
    assert rejected == {"wanted": "still ours", "brand": "no"}


async def test_the_lists_of_who_is_left_have_what_both_had(shop, impatient):
    old, new = await two(shop)
    for code in ("old-code", "new-code", "old-code"):
        await shop.order(code=code)
    for customer in (old, new, old):
        await shop.convert(customer, 1)
    paths = {
        f"/dev/v1/customers/{new}/affiliate/commissions": "id",
        f"/dev/v1/affiliates/commissions?customer_id={new}": "id",
        f"/dev/v1/customers/{new}/affiliate/claims": "claim_id",
        f"/dev/v1/affiliates/claims?customer_id={new}": "claim_id",
    }
    (all_,) = [(await shop.client.get("/dev/v1/affiliates/commissions")).data]
    await shop.merge(old, new)
    await shop.follow()
    for path, name in paths.items():
        whole = (await shop.client.get(path)).data
        paged, cursor = [], ""
        for _ in range(3):
            page = await shop.client.get(f"{path}{'&' if '?' in path else '?'}limit=1{cursor}")
            paged += page.data
            cursor = f"&cursor={page.json['next_cursor']}"
        assert [each[name] for each in paged] == sorted((each[name] for each in whole), reverse=True)
        assert len({each[name] for each in whole}) == 3
    shown = (await shop.client.get(f"/dev/v1/affiliates/commissions?customer_id={new}")).data
    assert [each["id"] for each in shown] == [each["id"] for each in all_]
    assert {each["customer_id"] for each in shown} == {new}
    claims = (await shop.client.get(f"/dev/v1/affiliates/claims?customer_id={old}")).data
    assert {each["customer_id"] for each in claims} == {new}
    days = (await shop.client.get(f"/dev/v1/customers/{new}/affiliate/clicks")).data
    assert sum(day["sales"] for day in days[-2:]) == 3  # today, and if it is midnight yesterday
    one = await shop.client.get(f"/dev/v1/customers/{new}/affiliate/claims/{claims[0]['claim_id']}")
    assert one.data["claim_id"] == claims[0]["claim_id"]


async def test_a_list_under_way_goes_on_though_its_affiliate_becomes_another(shop):
    old, new = await two(shop)
    for code in ("old-code", "new-code", "old-code"):
        await shop.order(code=code)
    for customer in (old, new, old):
        assert (await ask(shop, customer, amount=1)).status == 201
    paths = {
        f"/dev/v1/customers/{old}/affiliate/commissions?": "id",
        f"/dev/v1/affiliates/commissions?customer_id={old}&": "id",
        f"/dev/v1/customers/{old}/affiliate/claims?": "claim_id",
        f"/dev/v1/affiliates/claims?customer_id={old}&": "claim_id",
    }
    first = {path: (await shop.client.get(f"{path}limit=1")).json for path in paths}
    table = f"/dev/v1/affiliates/commissions.csv?customer_id={old}&limit=1"
    (link,) = re.findall("<(.*)>", (await shop.client.get(table)).headers["link"])
    await shop.merge(old, new)
    await shop.follow()
    for path, name in paths.items():
        page, rest = first[path], (await shop.client.get(f"{path}cursor={first[path]['next_cursor']}")).data
        assert [each[name] for each in page["data"] + rest] == [
            each[name] for each in (await shop.client.get(path.rstrip("?&"))).data
        ]
        assert len(rest) == 2
    assert (await shop.client.get(link)).status == 200


async def test_another_affiliates_movements_are_not_shown(shop):
    ann, bob, carol = [await shop.enrol(f"{name}-code") for name in ("ann", "bob", "carol")]
    await shop.order(code="ann-code")
    (commission,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    body = {"code": "bob-code", "note": "x"}
    assert (
        await shop.client.post(f"/dev/v1/affiliates/commissions/{commission['id']}/reattribute", body, key="give")
    ).status == 200
    path = f"/dev/v1/customers/{bob}/affiliate/commissions/{commission['id']}"
    before = (await shop.client.get(path)).data["history"]
    await shop.merge(ann, carol)
    await shop.follow()
    assert (await shop.client.get(path)).data["history"] == before

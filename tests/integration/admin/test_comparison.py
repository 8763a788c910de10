"""The page that compares what a receiver has: what is lost, stale or a ghost there, and a snapshot of what it lacks."""

import html
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from example_project.training.factories import OrganizationFactory, TrainingClassFactory, UserFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import administrator_of, named, shown_at, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks import comparison
from tms_webhooks.admin.comparison import digests_by_id
from tms_webhooks.choices import Action
from tms_webhooks.comparison import Comparison
from tms_webhooks.models import AuditEntry, Job, Webhook

EVERYTHING = {"buckets": "1", "bucket": "0"}
OTHER = "0" * 32


@pytest.fixture
def organization():
    return OrganizationFactory(name="ours")


@pytest.fixture
def manager(site, organization):
    """The administrator of the organization, at the staff's admin and at the customers' site."""
    browser = Client()
    browser.force_login(administrator_of(organization, username="mia"))
    return browser


@pytest.fixture
def webhook(organization):
    return subscribed(organization=organization, events=["class.*", "user.*"])


@pytest.fixture
def classes(organization):
    names = ("Azure basics", "Docker", "Excel", "Git")
    return [TrainingClassFactory(organization=organization, name=name) for name in names]


def at(webhook):
    return url(Webhook, "compare", webhook.public_id)


def digests(webhook, noun="class"):
    """Return what a receiver has that has everything."""
    return {one.id: one.digest for one in Comparison(webhook, noun).objects(None, limit=100).objects}


def lines(copy, separator=":"):
    return "\n".join(f"{key}{separator}{digest}" for key, digest in copy.items())


def compared(client, webhook, copy, *, file=None, **values):
    """Return the page after these lines were pasted, or a file with these bytes was chosen."""
    values |= {} if file is None else {"file": SimpleUploadedFile("copy.csv", file)}
    return client.post(at(webhook), {**EVERYTHING, "noun": "class", "copy": copy, **values})


def numbers_on(response):
    """Return the four figures of the page, and the verdict."""
    page = response.content.decode()
    (verdict,) = re.findall(r'<h2 id="tms-verdict">.*?</span>(.*?)</h2>', page)
    return verdict, [int(one) for one in re.findall(r"<dd>(\d+)</dd>", page)]


def test_a_copy_that_has_everything_is_equal(manager, webhook, classes):
    response = compared(manager, webhook, lines(digests(webhook)))

    assert numbers_on(response) == ("The copy is equal", [4, 0, 0, 0])
    assert "Send only these" not in response.content.decode()


@pytest.mark.parametrize("separator", [":", ",", ", ", '","'])
def test_lost_stale_and_ghost_objects_are_counted_and_listed_by_name(manager, webhook, classes, separator):
    lost, stale, *_equal = classes
    copy = {**digests(webhook), str(stale.pk): OTHER, "999": OTHER}
    del copy[str(lost.pk)]
    quote = '"' if '"' in separator else ""

    response = compared(
        manager, webhook, "\n".join(quote + line + quote for line in lines(copy, separator).split("\n"))
    )

    assert numbers_on(response) == ("3 differences", [2, 1, 1, 1])
    text = text_of(response)
    assert f"The receiver lacks these objects. Azure basics class:{lost.pk}" in text
    assert f"The receiver has another state of these objects. Docker class:{stale.pk}" in text
    assert "A snapshot does not remove them. 999" in text
    assert "Excel" not in text


def test_what_is_lost_or_stale_is_sent_by_one_button(manager, webhook, classes):
    lost, stale, *_equal = classes
    copy = {**digests(webhook), str(stale.pk): "", "999": OTHER}
    del copy[str(lost.pk)]
    page = compared(manager, webhook, lines(copy)).content.decode()
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    form = {name: html.unescape(re.findall(rf'name="{name}" value="([^"]*)"', page)[0]) for name in ("nouns", "ids")}

    answer = manager.post(action, form, follow=True)

    assert "Started a job for 2 deliveries." in text_of(answer)
    job = Job.objects.get()
    assert (job.kind, job.nouns, job.total) == ("snapshot", ["class"], 2)
    assert job.selection == {"ids": sorted([str(lost.pk), str(stale.pk)])}
    assert AuditEntry.objects.get().changes["ids"] == job.selection["ids"]


def test_a_snapshot_of_some_objects_that_is_counted_again_is_still_of_these(manager, webhook, classes):
    action = named("tms_webhooks_webhook_action", webhook.public_id, "snapshot")
    page = manager.post(action, {"nouns": ["class"], "ids": f"{classes[0].pk}\n{classes[1].pk}", "count": "1"})

    assert "2 objects will be sent." in text_of(page)
    manager.post(action, untouched(page.content.decode(), form="tms-action"))
    assert Job.objects.get().selection == {"ids": sorted(str(one.pk) for one in classes[:2])}


def test_a_second_snapshot_is_refused_with_the_reason(manager, webhook, classes):
    action = named("tms_webhooks_webhook_action", webhook.public_id, "snapshot")
    form = {"nouns": ["class"], "ids": str(classes[0].pk)}
    several = manager.post(action, {**form, "nouns": ["class", "user"]})
    manager.post(action, form)

    assert "a job of the same kind, is still running for this webhook" in text_of(manager.post(action, form))
    assert "ids belong to one noun; name one, or leave ids out." in text_of(several)
    assert Job.objects.get().nouns == ["class"]


def test_a_file_is_compared_like_lines(manager, webhook, classes):
    content = b"\xef\xbb\xbfid,digest\r\n" + lines(digests(webhook), ",").replace("\n", "\r\n").encode()

    response = compared(manager, webhook, "", file=content)

    assert numbers_on(response) == ("The copy is equal", [4, 0, 0, 0])


def test_lines_that_can_not_be_read_are_named_and_the_others_are_compared(manager, webhook, classes):
    first, *others = lines(digests(webhook)).split("\n")

    response = compared(manager, webhook, "\n".join([first, f"<b>;{OTHER}", *others, "", first.upper()]))

    assert numbers_on(response) == ("The copy is equal", [4, 0, 0, 0])
    assert (
        "2 lines are left out The other lines were compared. Correct these, and compare again. "
        f"Line 2 is not an id and a digest of 32 hexadecimal digits: <b>;{OTHER} "
        f"Line 7 has an id that an earlier line has, too: {first.upper()}" in text_of(response)
    )


def test_a_hundred_lines_that_are_left_out_are_listed(manager, webhook, classes):
    page = text_of(compared(manager, webhook, lines(digests(webhook)) + "\nno digest" * 101))

    assert "101 lines are left out The other lines were compared." in page
    assert "The first 100 are listed." in page
    assert page.count("hexadecimal digits: no digest") == 100


def test_an_empty_file_lacks_everything(manager, webhook, classes):
    response = compared(manager, webhook, "", file=b"")

    assert numbers_on(response) == ("4 differences", [0, 4, 0, 0])


def test_one_bucket_is_compared_with_its_lines_alone(manager, webhook, classes):
    copy = digests(webhook)
    of_bucket = {key for key in copy if comparison.bucket_of(key, 3) == 1}

    page = compared(manager, webhook, lines({**copy, "999": OTHER, "998": OTHER}), buckets="3", bucket="1")

    ghosts = sum(comparison.bucket_of(key, 3) == 1 for key in ("998", "999"))
    assert numbers_on(page)[1] == [len(of_bucket), 0, 0, ghosts]


def test_too_many_objects_are_compared_in_buckets(manager, webhook, classes, monkeypatch):
    monkeypatch.setattr(comparison, "MOST_READ", 3)

    page = text_of(compared(manager, webhook, "none:"))

    assert "Bucket 0 has more than 3 objects. Use more buckets, such as 4." in page


def test_the_longest_list_has_a_hundred_objects_and_a_snapshot_its_most_ids(
    manager, webhook, organization, monkeypatch
):
    TrainingClassFactory.create_batch(101, organization=organization)
    monkeypatch.setattr("tms_webhooks.admin.comparison.MOST_IDS", 7)

    page = compared(manager, webhook, "none:").content.decode()

    assert page.count(" class:") + page.count("tms-small") >= 100
    assert "The first 100 are listed." in page
    assert "It has the first 7 of them. Compare again after it." in page
    (ids,) = re.findall(r'name="ids" value="([^"]*)"', page)
    assert len(html.unescape(ids).split()) == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"copy": "13;" + OTHER + "\nnone"}, "Line 1 is not an id and a digest of 32 hexadecimal digits: 13;000"),
        ({"copy": "12:abc"}, "Line 1 is not an id and a digest of 32 hexadecimal digits: 12:abc"),
        (
            {"copy": "?\n" + "\n".join(f"{number}:" for number in range(10_000))},
            "Line 10001 is one too many. Compare at most 10,000 objects",
        ),
        ({"copy": " "}, "Paste the lines, or choose a file."),
        ({"copy": "12:", "bucket": "1"}, "Use a number below the number of buckets."),
        ({"copy": "12:", "buckets": "4097"}, "Ensure this value is less than or equal to 4096."),
        ({"copy": "12:", "noun": "voucher"}, "Select a valid choice. voucher is not one of the available choices."),
        ({"copy": "12:", "noun": ""}, "This field is required."),
        ({"file": b"PK\x03\x04\xff"}, "Line 1 is not an id and a digest of 32 hexadecimal digits: PK"),
        ({"file": b"1:\n" * 1_400_000}, "The file is larger than 4 MB."),
    ],
)
def test_wrong_input_is_reported_with_its_line(manager, webhook, classes, values, message):
    response = compared(manager, webhook, **{"copy": "", **values})

    assert message in text_of(response)
    assert "tms-verdict" not in response.content.decode()
    assert not Job.objects.exists()


def test_an_id_may_have_the_separators():
    assert digests_by_id(f"3:8:{OTHER}\na,b,{OTHER}") == ({"3:8": OTHER, "a,b": OTHER}, [])


def test_markup_in_lines_and_names_is_text(manager, webhook, organization):
    TrainingClassFactory(organization=organization, name="<b>Azure</b>")

    page = compared(manager, webhook, f"<i>7</i>:{OTHER}").content.decode()

    assert "&lt;b&gt;Azure&lt;/b&gt;" in page
    assert "&lt;i&gt;7&lt;/i&gt;" in page
    assert "<i>7" not in page
    assert "<b>Azure" not in page


# Who may


def test_a_comparison_takes_the_right_to_view_payloads_and_sending_that_to_replay(manager, webhook, classes, deny):
    overview = url(Webhook, "overview", webhook.public_id)
    assert at(webhook) in manager.get(overview).content.decode()
    deny(Action.REPLAY)
    assert "Send only these" not in compared(manager, webhook, "none:").content.decode()
    deny(Action.VIEW_PAYLOAD)

    assert compared(manager, webhook, "none:").status_code == 403
    assert manager.get(at(webhook)).status_code == 403
    assert at(webhook) not in manager.get(overview).content.decode()


def test_a_child_whose_payloads_are_withheld_is_not_compared(manager, organization, deny):
    OrganizationFactory(parent=organization)
    webhook = subscribed(organization=organization, events=["class.*"], include_children=True)
    assert manager.get(at(webhook)).status_code == 200
    deny(Action.VIEW_PAYLOAD, below=True)

    assert compared(manager, webhook, "none:").status_code == 403


def test_a_disabled_webhook_is_compared_and_sends_nothing(manager, organization, classes):
    webhook = subscribed(organization=organization, events=["class.*"], enabled=False)

    page = compared(manager, webhook, "none:")

    assert numbers_on(page)[1] == [0, 4, 0, 1]
    assert "Send only these" not in page.content.decode()


def test_the_name_of_a_person_is_shown_beside_the_id(manager, webhook, organization):
    person = UserFactory(organization=organization, first_name="Anna", last_name="Larsen")

    page = text_of(compared(manager, webhook, "none:", noun="user"))

    assert f"Anna Larsen user:{person.pk}" in page


def test_the_form_offers_the_nouns_of_a_snapshot(manager, webhook):
    page = shown_at(manager, at(webhook))

    assert "Compares what a receiver has stored" in page
    assert "Objects: Class User What the receiver has" in page

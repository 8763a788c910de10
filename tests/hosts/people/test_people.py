"""Only some accounts are users of the training system, and each change of one of these is one event, by whichever model."""

import pytest
from django.db import connections

from tests.hosts.people.models import Account, Learner, Person, Team

# Learners: rows that extend those of a model that is not registered


def test_an_upsert_of_accounts_is_an_event_for_the_learner(tenant, learner, recorded):
    Account.objects.bulk_create(
        [Account(pk=learner.pk, tenant=tenant, name="Carol"), Account(tenant=tenant, name="New")],
        update_conflicts=True,
        unique_fields=[] if connections["training"].vendor == "mysql" else ["id"],
        update_fields=["name"],
    )

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("user.updated", {"user_name": "Alice"})


@pytest.mark.parametrize("by", ["child", "parent"])
def test_a_list_of_the_account_is_captured_by_both_models(by, learner, account, recorded):
    team = Team.objects.create(name="Blue")
    key = str(team.pk)

    (learner if by == "child" else learner.account_ptr).teams.add(team)
    account.teams.add(team)
    team.delete()

    added, removed = recorded()
    assert (added["changed"], added["data"]["role_ids"], removed["data"]["role_ids"]) == (
        ["role_ids"],
        [key],
        [],
    )


def test_a_learner_who_remains_as_an_account_is_deleted(learner, recorded):
    learner.delete(keep_parents=True)

    assert [event["type"] for event in recorded()] == ["user.deleted"]
    assert Account.objects.get().name == "Alice"


def test_an_account_that_becomes_a_learner_is_created(account, recorded):
    Learner(account_ptr_id=account.pk).save_base(raw=True)

    (event,) = recorded()
    assert (event["type"], event["data"]["id"], event["previous"]) == ("user.created", str(account.pk), {})


# Students: rows that another row makes objects


def test_a_study_that_moves_to_another_person_moves_the_student(study, tenant, recorded):
    study.person = Person.objects.create(tenant=tenant, name="Eve")
    study.save()

    assert sorted((event["type"], event["data"]["user_name"]) for event in recorded()) == [
        ("user.created", "Eve"),
        ("user.deleted", "Dan"),
    ]

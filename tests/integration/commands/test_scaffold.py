"""``manage.py webhooks_scaffold``: its arguments, and the file that it writes."""

import pytest
from django.core.management import CommandError, call_command

from tms_webhooks.sources import registry


@pytest.fixture
def printed(capsys):
    """Run the command; return what it printed."""

    def printed(*arguments):
        call_command("webhooks_scaffold", *arguments)
        return capsys.readouterr().out

    return printed


def test_sources_that_are_registered_already_are_used_and_stay_registered(printed):
    before = registry.all_sources()

    text = printed("training.ClassEnrollment")

    assert registry.all_sources() == before
    # Their own names: the source of the class maps them.
    assert "class.start_at" not in text
    assert "class.name" not in text


def test_the_file_is_written_and_nothing_is_printed(printed, tmp_path):
    file = tmp_path / "webhooks.py"

    assert printed("training.Voucher", "--output", str(file)) == ""
    assert file.read_text() == printed("training.Voucher")


def test_a_file_that_exists_is_kept_unless_the_option_says_otherwise(printed, tmp_path):
    file = tmp_path / "webhooks.py"
    file.write_text("# mine\n")

    with pytest.raises(CommandError, match="exists. Add --overwrite to replace it, or leave --output out.") as raised:
        printed("training.Voucher", "--output", str(file))

    assert raised.value.returncode == 2
    assert file.read_text() == "# mine\n"
    printed("training.Voucher", "--output", str(file), "--overwrite")
    assert file.read_text() == printed("training.Voucher")


@pytest.mark.parametrize("noun", sorted({source.noun.name for source in registry.all_sources()}))
def test_each_noun_has_a_source(printed, noun):
    assert f"Source(sources.{noun.title().replace('_', '')}" in printed(f"training.Organization:{noun}")


@pytest.mark.parametrize(
    "argument, text",
    [
        ("training.Vouche", "Unknown model: 'training.Vouche'. Write app_label.ModelName. Did you mean"),
        ("Voucher", "Unknown model: 'Voucher'. Write app_label.ModelName."),
        ("training.Voucher:vouchers", "Unknown noun: 'vouchers'. Write one of course, classroom, "),
        ("training.Voucher:vouchers", 'Did you mean "voucher"?'),
    ],
)
def test_an_unknown_name_is_an_error_with_near_ones(printed, argument, text):
    with pytest.raises(CommandError) as raised:
        printed(argument)
    assert text in str(raised.value)
    assert raised.value.returncode == 2

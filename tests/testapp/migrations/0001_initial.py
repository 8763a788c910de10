"""Makes the tables of the models as they are: nobody has older ones."""

from django.apps import apps
from django.conf import settings
from django.db import migrations
from django.db.migrations.state import ModelState

# Each stands after those that it extends or refers to by a key.
STATES = [ModelState.from_model(model) for model in apps.get_app_config("testapp").get_models()]
LISTS = [(state.name, name, field) for state in STATES for name, field in state.fields.items() if field.many_to_many]


def create(state):
    columns = [(name, field) for name, field in state.fields.items() if not field.many_to_many]
    return migrations.CreateModel(state.name, columns, state.options, state.bases, state.managers)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("training", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [*map(create, STATES), *(migrations.AddField(*one) for one in LISTS)]

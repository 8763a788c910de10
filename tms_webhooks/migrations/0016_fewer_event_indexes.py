from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from tms_webhooks.models.organization import organization_model


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0015_timing'),
        migrations.swappable_dependency(organization_model()),
    ]

    operations = [
        migrations.AlterField(
            model_name='event',
            name='organization',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=organization_model(), verbose_name='organization'),
        ),
        migrations.AlterField(
            model_name='event',
            name='subscription',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, help_text='Set where the event is for this subscription alone, as an expiry window is.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='tms_webhooks.subscription', verbose_name='subscription'),
        ),
    ]

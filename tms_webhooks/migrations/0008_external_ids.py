from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0007_form_key'),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='external_id',
            field=models.CharField(blank=True, default='', max_length=64, verbose_name='external id'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('external_id__gt', '')), fields=['external_id'], name='tms_event_of_external'),
        ),
    ]

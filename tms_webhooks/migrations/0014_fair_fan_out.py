from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0012_edited_paths'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('fanned_out_at__isnull', True)), fields=['subject_key'], name='tms_event_object_to_fan_out'),
        ),
    ]

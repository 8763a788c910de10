from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0014_fair_fan_out'),
    ]

    operations = [
        migrations.AddField(
            model_name='deliveryattempt',
            name='timing',
            field=models.CharField(blank=True, db_default='', default='', max_length=60, verbose_name='timing'),
        ),
    ]

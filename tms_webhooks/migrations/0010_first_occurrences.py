from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0009_database_defaults'),
    ]

    operations = [
        migrations.CreateModel(
            name='FirstOccurrence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_type', models.CharField(max_length=100, verbose_name='event')),
                ('subject_type', models.CharField(max_length=50, verbose_name='subject type')),
                ('subject_id', models.CharField(max_length=64, verbose_name='subject id')),
                ('event_id', models.BigIntegerField(db_index=True, verbose_name='event')),
                ('subscription', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tms_webhooks.subscription', verbose_name='subscription')),
            ],
            options={
                'verbose_name': 'first occurrence',
                'verbose_name_plural': 'first occurrences',
                'constraints': [models.UniqueConstraint(fields=('subscription', 'event_type', 'subject_type', 'subject_id'), name='tms_first_of_subject')],
            },
        ),
    ]

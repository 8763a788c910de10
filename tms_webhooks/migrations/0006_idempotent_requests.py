from __future__ import annotations

import tms_webhooks.models.encryption
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0005_feed'),
    ]

    operations = [
        migrations.CreateModel(
            name='IdempotentRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True, verbose_name='digest')),
                ('fingerprint', models.CharField(max_length=64, verbose_name='fingerprint')),
                ('created_at', models.DateTimeField(db_index=True, verbose_name='created at')),
                ('status_code', models.PositiveSmallIntegerField(null=True, verbose_name='status code')),
                ('headers', models.JSONField(default=dict, verbose_name='headers')),
                ('answer', tms_webhooks.models.encryption.EncryptedTextField(blank=True, default='', verbose_name='answer')),
            ],
            options={
                'verbose_name': 'idempotent request',
                'verbose_name_plural': 'idempotent requests',
            },
        ),
    ]

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0012_edited_paths'),
    ]

    operations = [
        migrations.AlterField(
            model_name='delivery',
            name='error_class',
            field=models.CharField(blank=True, choices=[('http_status', 'Unsuccessful status'), ('dns_error', 'Name not resolved'), ('connection_refused', 'Connection refused'), ('connection_reset', 'Connection reset'), ('network_unreachable', 'Network unreachable'), ('timeout', 'Timed out'), ('tls_error', 'TLS error'), ('blocked_address', 'Blocked address'), ('invalid_url', 'Invalid URL'), ('body_too_large', 'Body too large'), ('secret_unreadable', 'Secret unreadable'), ('render_failed', 'Body not rendered'), ('loop', 'Loop'), ('other', 'Other')], default='', max_length=20, verbose_name='error'),
        ),
        migrations.AlterField(
            model_name='deliveryattempt',
            name='error_class',
            field=models.CharField(blank=True, choices=[('http_status', 'Unsuccessful status'), ('dns_error', 'Name not resolved'), ('connection_refused', 'Connection refused'), ('connection_reset', 'Connection reset'), ('network_unreachable', 'Network unreachable'), ('timeout', 'Timed out'), ('tls_error', 'TLS error'), ('blocked_address', 'Blocked address'), ('invalid_url', 'Invalid URL'), ('body_too_large', 'Body too large'), ('secret_unreadable', 'Secret unreadable'), ('render_failed', 'Body not rendered'), ('loop', 'Loop'), ('other', 'Other')], default='', max_length=20, verbose_name='error'),
        ),
    ]

from __future__ import annotations

import django.core.serializers.json
import django.db.models.deletion
from django.db import migrations, models

from tms_webhooks.models.organization import organization_model


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0001_initial'),
        migrations.swappable_dependency(organization_model()),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(verbose_name='at')),
                ('actor_kind', models.CharField(choices=[('user', 'User'), ('administrator', 'Administrator'), ('api', 'API'), ('system', 'System')], max_length=20, verbose_name='actor kind')),
                ('actor_id', models.CharField(blank=True, default='', max_length=64, verbose_name='actor id')),
                ('actor_label', models.CharField(blank=True, default='', max_length=150, verbose_name='actor')),
                ('action', models.CharField(choices=[('webhook.created', 'Webhook created'), ('webhook.updated', 'Webhook changed'), ('webhook.deleted', 'Webhook deleted'), ('webhook.enabled', 'Webhook enabled'), ('webhook.disabled', 'Webhook disabled'), ('webhook.tested', 'Webhook tested'), ('secret.rotated', 'Secret rotated'), ('secret.revealed', 'Secret revealed'), ('subscription.created', 'Subscription created'), ('subscription.updated', 'Subscription changed'), ('subscription.deleted', 'Subscription deleted'), ('delivery.resent', 'Delivery resent'), ('job.started', 'Job started')], max_length=30, verbose_name='action')),
                ('target', models.CharField(help_text='What it was done to, such as delivery:17.', max_length=100, verbose_name='target')),
                ('changes', models.JSONField(blank=True, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='changes')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=organization_model(), verbose_name='organization')),
                ('webhook', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='audit_log', to='tms_webhooks.webhook', verbose_name='webhook')),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit entries',
                'ordering': ('-pk',),
                'indexes': [models.Index(fields=['organization', 'id'], name='tms_audit_of_organization'), models.Index(fields=['webhook', 'id'], name='tms_audit_of_webhook')],
            },
        ),
    ]

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from tms_webhooks.models.organization import organization_model


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0002_audit_log'),
        migrations.swappable_dependency(organization_model()),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='learner_organization',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=organization_model(), verbose_name='learner organization'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='condition',
            field=models.JSONField(blank=True, help_text='What an event has to hold, such as {"data.grade": {"gte": 50}}. Empty: anything.', null=True, verbose_name='condition'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='filters',
            field=models.JSONField(blank=True, default=dict, help_text='Only some of these events: lists of what is wanted, such as {"course": [301]}. Empty: all.', verbose_name='filters'),
        ),
        migrations.AddField(
            model_name='webhook',
            name='audience',
            field=models.CharField(choices=[('owner', 'Owner organization'), ('learner', 'Learner organization'), ('both', 'Both')], default='owner', help_text='Events of what the organization owns, such as its classes with everybody in them; of its own learners, wherever they learn; or both.', max_length=10, verbose_name='audience'),
        ),
        migrations.AddField(
            model_name='webhook',
            name='include_children',
            field=models.BooleanField(default=False, help_text='Also events of the organizations below this one, at any depth.', verbose_name='include child organizations'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('learner_organization__isnull', False), models.Q(('learner_organization', models.F('organization')), _negated=True)), fields=['learner_organization', 'id'], name='tms_event_of_learner'),
        ),
    ]

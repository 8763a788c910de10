from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0008_external_ids'),
    ]

    operations = [
        migrations.AlterField(
            model_name='event',
            name='external_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='external id'),
        ),
        migrations.AlterField(
            model_name='subscription',
            name='filters',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, help_text='Only some of these events: lists of what is wanted, such as {"course": [301]}. Empty: all.', verbose_name='filters'),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='audience',
            field=models.CharField(choices=[('owner', 'Owner organization'), ('learner', 'Learner organization'), ('both', 'Both')], db_default='owner', default='owner', help_text='Events of what the organization owns, such as its classes with everybody in them; of its own learners, wherever they learn; or both.', max_length=10, verbose_name='audience'),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='include_children',
            field=models.BooleanField(db_default=False, default=False, help_text='Also events of the organizations below this one, at any depth.', verbose_name='include child organizations'),
        ),
    ]

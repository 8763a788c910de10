from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tms_webhooks', '0004_totals'),
    ]

    operations = [
        migrations.CreateModel(
            name='FeedEnds',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('published', models.BigIntegerField(default=0, verbose_name='published')),
                ('forgotten', models.BigIntegerField(default=0, verbose_name='forgotten')),
            ],
            options={
                'verbose_name': 'ends of the feed',
                'verbose_name_plural': 'ends of the feed',
            },
        ),
        migrations.AddField(
            model_name='event',
            name='position',
            field=models.BigIntegerField(editable=False, null=True, verbose_name='position'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['position', 'id'], name='tms_event_in_feed'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['organization', 'position'], name='tms_event_in_feed_of'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('learner_organization__isnull', False), models.Q(('learner_organization', models.F('organization')), _negated=True)), fields=['learner_organization', 'position'], name='tms_event_in_feed_by_learner'),
        ),
    ]

"""A host that changes its objects in Celery's tasks."""

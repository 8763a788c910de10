"""A backend of Django's tasks that keeps what is enqueued."""

from django.tasks.backends.base import BaseTaskBackend


class KeepingBackend(BaseTaskBackend):
    """Has workers elsewhere, as far as anyone can see."""

    supports_defer = True

    def __init__(self, alias, params):
        super().__init__(alias, params)
        self.kept = []

    def enqueue(self, task, args, kwargs):
        """Keep the task."""
        self.validate_task(task)
        assert kwargs == {}
        self.kept.append((task, tuple(args)))


class PromptBackend(KeepingBackend):
    """One that can't keep a task for later."""

    supports_defer = False

"""A process that starts two workers of ``django-tasks-db``, and ends when one of them does.

python -m tests.scenarios.task_workers
"""

import subprocess
import sys

WORKERS = 2

if __name__ == "__main__":
    command = [sys.executable, "-m", "django", "db_worker", "--skip-checks", "--interval", "0.1", "--no-startup-delay"]
    workers = [subprocess.Popen(command) for _ in range(WORKERS)]
    sys.exit(max(worker.wait() for worker in workers))

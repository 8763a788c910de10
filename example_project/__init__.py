"""A small Training Management System that uses tms_webhooks."""

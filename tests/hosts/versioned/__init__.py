"""django-reversion and django-simple-history beside the app: both write rows of their own with each change."""

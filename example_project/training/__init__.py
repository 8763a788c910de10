"""The training system itself: organizations, people, courses, classes and what learners do with them."""

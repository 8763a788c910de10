import django.contrib.auth.models
import django.contrib.auth.validators
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Role",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50, unique=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                (
                    "time_zone_id",
                    models.CharField(
                        default="UTC",
                        help_text="Default of users and classes.",
                        max_length=50,
                        verbose_name="time zone",
                    ),
                ),
                ("culture", models.CharField(default="en-US", max_length=10)),
                ("enabled", models.BooleanField(default=True)),
                ("enable_achievements", models.BooleanField(default=True)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Course",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("name", models.CharField(max_length=150)),
                ("description", models.CharField(blank=True, max_length=800)),
                ("available_instructor_led", models.BooleanField(default=True)),
                ("available_self_paced", models.BooleanField(default=True)),
                ("duration", models.FloatField(default=1, validators=[django.core.validators.MinValueValidator(0)])),
                (
                    "duration_unit_id",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Minutes"), (1, "Hours"), (2, "Days"), (3, "Weeks")],
                        default=2,
                        verbose_name="duration unit",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="courses", to="training.organization"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Activity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("name", models.CharField(max_length=150)),
                (
                    "activity_type_id",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (2, "SCORM module"),
                            (4, "Lab"),
                            (10, "Survey"),
                            (20, "Instructor survey"),
                            (30, "Organization survey"),
                            (40, "External link"),
                            (50, "Assessment"),
                            (60, "Video"),
                            (70, "Document"),
                            (80, "Section"),
                        ],
                        default=4,
                        verbose_name="type",
                    ),
                ),
                ("required", models.BooleanField(default=True, verbose_name="required for course completion")),
                ("allow_retake", models.BooleanField(default=True)),
                ("expected_duration_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("is_exam", models.BooleanField(default=False)),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="activities", to="training.course"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "activities",
                "ordering": ["course", "position", "pk"],
            },
        ),
        migrations.CreateModel(
            name="Department",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="departments",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Company",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("name", models.CharField(max_length=150)),
                ("description", models.CharField(blank=True, max_length=800)),
                ("email", models.EmailField(blank=True, max_length=256)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="companies",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "companies",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Classroom",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("address1", models.CharField(blank=True, max_length=100, verbose_name="address")),
                ("address2", models.CharField(blank=True, max_length=100, verbose_name="address, second line")),
                ("city", models.CharField(blank=True, max_length=50)),
                ("state", models.CharField(blank=True, max_length=50)),
                ("zip", models.CharField(blank=True, max_length=20, verbose_name="ZIP code")),
                ("country_code", models.CharField(blank=True, max_length=2)),
                ("seats", models.PositiveSmallIntegerField(default=16)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="classrooms",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.CharField(editable=False, max_length=150, primary_key=True, serialize=False, unique=True),
                ),
                ("prefix", models.CharField(editable=False, max_length=8, unique=True)),
                ("hashed_key", models.CharField(editable=False, max_length=150)),
                ("created", models.DateTimeField(auto_now_add=True, db_index=True)),
                (
                    "name",
                    models.CharField(
                        default=None,
                        help_text="A free-form name for the API key. Need not be unique. 50 characters max.",
                        max_length=50,
                    ),
                ),
                (
                    "revoked",
                    models.BooleanField(
                        blank=True,
                        default=False,
                        help_text="If the API key is revoked, clients cannot use it anymore. (This cannot be undone.)",
                    ),
                ),
                (
                    "expiry_date",
                    models.DateTimeField(
                        blank=True,
                        help_text="Once API key expires, clients cannot use it anymore.",
                        null=True,
                        verbose_name="Expires",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="api_keys", to="training.organization"
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "ordering": ("-created",),
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Achievement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                ("points", models.PositiveIntegerField(default=10)),
                (
                    "frequency",
                    models.PositiveSmallIntegerField(
                        default=1,
                        help_text="How often it can be earned.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "frequency_type",
                    models.CharField(
                        choices=[
                            ("per_user", "Per user"),
                            ("per_day", "Per day"),
                            ("per_achievement", "Per achievement"),
                        ],
                        default="per_user",
                        max_length=20,
                    ),
                ),
                (
                    "conditions",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='What a learner has to do, such as [{"Subject": 10, "Count": 1, "Complete": true}].',
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="achievements",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "A user with that username already exists."},
                        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                        max_length=150,
                        unique=True,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                        verbose_name="username",
                    ),
                ),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined")),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("title", models.CharField(blank=True, max_length=50)),
                ("first_name", models.CharField(blank=True, max_length=50)),
                ("middle_name", models.CharField(blank=True, max_length=50)),
                ("last_name", models.CharField(blank=True, max_length=50)),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="e-mail")),
                ("phone", models.CharField(blank=True, max_length=30)),
                ("phone2", models.CharField(blank=True, max_length=30, verbose_name="second phone")),
                ("address1", models.CharField(blank=True, max_length=100, verbose_name="address")),
                ("address2", models.CharField(blank=True, max_length=100, verbose_name="address, second line")),
                ("city", models.CharField(blank=True, max_length=50)),
                ("state", models.CharField(blank=True, max_length=50)),
                ("zip", models.CharField(blank=True, max_length=20, verbose_name="ZIP code")),
                (
                    "country_code",
                    models.CharField(blank=True, help_text="Two letters; OT is another country.", max_length=2),
                ),
                (
                    "time_zone_id",
                    models.CharField(
                        blank=True, help_text="Empty: the organization's.", max_length=50, verbose_name="time zone"
                    ),
                ),
                ("participate_in_achievements", models.BooleanField(default=True)),
                (
                    "disabled",
                    models.BooleanField(
                        default=False, help_text="A disabled account keeps its records but can't sign in."
                    ),
                ),
                ("cost_center", models.CharField(blank=True, max_length=20)),
                ("closed_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="closed")),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "manager",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="reports",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
                (
                    "company",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="users",
                        to="training.company",
                    ),
                ),
                (
                    "department",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="users",
                        to="training.department",
                    ),
                ),
                (
                    "managed_organizations",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Managing an organization means managing all below it.",
                        related_name="administrators",
                        to="training.organization",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty for operators of the whole system.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="users",
                        to="training.organization",
                    ),
                ),
                ("roles", models.ManyToManyField(blank=True, related_name="holders", to="training.role")),
            ],
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "ordering": ["last_name", "first_name", "pk"],
                "abstract": False,
            },
            managers=[
                ("objects", django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name="SubscriptionProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=150)),
                (
                    "price",
                    models.DecimalField(
                        decimal_places=2,
                        default=0,
                        max_digits=8,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "duration_days",
                    models.PositiveSmallIntegerField(
                        default=365, validators=[django.core.validators.MinValueValidator(1)]
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "courses",
                    models.ManyToManyField(blank=True, related_name="subscription_profiles", to="training.course"),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscription_profiles",
                        to="training.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="LearningPath",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                (
                    "audience_level",
                    models.CharField(
                        choices=[("beginner", "Beginner"), ("intermediate", "Intermediate"), ("advanced", "Advanced")],
                        default="beginner",
                        max_length=20,
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="learning_paths",
                        to="training.organization",
                    ),
                ),
                (
                    "subscription_profiles",
                    models.ManyToManyField(
                        blank=True, related_name="learning_paths", to="training.subscriptionprofile"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="LearningPathCourse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="path_steps", to="training.course"
                    ),
                ),
                (
                    "learning_path",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="training.learningpath"
                    ),
                ),
            ],
            options={
                "verbose_name": "course of a path",
                "verbose_name_plural": "courses of a path",
                "ordering": ["learning_path", "position", "pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("learning_path", "course"), name="course_once_per_path"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("starts_at", models.DateTimeField(verbose_name="starts")),
                ("expires_at", models.DateTimeField(blank=True, db_index=True, null=True, verbose_name="expires")),
                (
                    "target_completion",
                    models.DateTimeField(blank=True, help_text="A wish; it ends no access.", null=True),
                ),
                ("cancelled_at", models.DateTimeField(blank=True, null=True, verbose_name="cancelled")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="subscriptions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="assignments",
                        to="training.subscriptionprofile",
                    ),
                ),
            ],
            options={
                "ordering": ["-starts_at", "pk"],
            },
        ),
        migrations.CreateModel(
            name="CourseAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("payment_type", models.CharField(blank=True, help_text="How it was paid for.", max_length=200)),
                (
                    "assignment_status",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Active"), (10, "Cancelled")], default=0, verbose_name="status"
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started")),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                (
                    "target_completion",
                    models.DateTimeField(blank=True, help_text="A wish; it ends no access.", null=True),
                ),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="assignments", to="training.course"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        blank=True,
                        help_text="What paid for it, if a subscription did.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="course_assignments",
                        to="training.subscriptionassignment",
                    ),
                ),
            ],
            options={
                "ordering": ["-created", "pk"],
                "indexes": [
                    models.Index(fields=["expires_at"], name="assignment_expires_at"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TrainingClass",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "confirmation_status_id",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "Scheduled"),
                            (1, "Guaranteed to run"),
                            (2, "Cancelled"),
                            (3, "Rescheduled"),
                            (4, "Tentative"),
                            (5, "Requested"),
                            (6, "Denied"),
                            (7, "Completed"),
                        ],
                        default=0,
                        verbose_name="status",
                    ),
                ),
                (
                    "delivery_type_id",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "Physical"), (2, "Virtual"), (3, "Mixed")], default=1, verbose_name="delivery type"
                    ),
                ),
                ("custom_virtual_classroom_url", models.URLField(blank=True, verbose_name="virtual classroom URL")),
                ("start_at", models.DateTimeField(verbose_name="start")),
                ("end_at", models.DateTimeField(verbose_name="end")),
                ("time_zone_id", models.CharField(default="UTC", max_length=50, verbose_name="time zone")),
                ("min_students", models.PositiveSmallIntegerField(default=0)),
                ("max_students", models.PositiveSmallIntegerField(default=16)),
                ("allow_self_enrollment", models.BooleanField(default=False)),
                ("is_public", models.BooleanField(default=False)),
                (
                    "company",
                    models.ForeignKey(
                        blank=True,
                        help_text="Only for a class that is dedicated to one company.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="classes",
                        to="training.company",
                    ),
                ),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="classes", to="training.course"
                    ),
                ),
                (
                    "instructors",
                    models.ManyToManyField(
                        blank=True,
                        help_text="All who teach the class, the primary one included.",
                        related_name="classes_taught",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="classes", to="training.organization"
                    ),
                ),
                (
                    "primary_classroom",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="classes",
                        to="training.classroom",
                    ),
                ),
                (
                    "primary_instructor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="classes_led",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="classes_requested",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "class",
                "verbose_name_plural": "classes",
                "ordering": ["-start_at", "pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("end_at__gt", models.F("start_at"))), name="class_ends_after_start"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SessionTime",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start_at", models.DateTimeField(verbose_name="start")),
                ("end_at", models.DateTimeField(verbose_name="end")),
                (
                    "training_class",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="session_times",
                        to="training.trainingclass",
                        verbose_name="class",
                    ),
                ),
            ],
            options={
                "ordering": ["training_class", "start_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("end_at__gt", models.F("start_at"))), name="session_ends_after_start"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ClassEnrollment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                (
                    "external_id",
                    models.CharField(blank=True, max_length=50, null=True, unique=True, verbose_name="external ID"),
                ),
                (
                    "enrollment_status_id",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "Requested"),
                            (10, "Cancelled"),
                            (20, "Wait-listed"),
                            (30, "Approved"),
                            (40, "Denied"),
                            (50, "Audit"),
                            (60, "Enrolled"),
                        ],
                        default=0,
                        verbose_name="status",
                    ),
                ),
                (
                    "completion_status_id",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "Unknown"),
                            (10, "Attending"),
                            (20, "Complete"),
                            (30, "Incomplete"),
                            (40, "No show"),
                            (50, "Failed"),
                        ],
                        default=0,
                        verbose_name="completion",
                    ),
                ),
                ("late_cancel", models.BooleanField(default=False)),
                ("retake", models.BooleanField(default=False)),
                ("hours_spent", models.PositiveSmallIntegerField(blank=True, null=True)),
                (
                    "grade",
                    models.PositiveSmallIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                (
                    "location_type_id",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "To be determined"), (10, "Classroom"), (20, "Remote classroom"), (30, "Virtual")],
                        default=0,
                        verbose_name="location",
                    ),
                ),
                (
                    "purchase_order",
                    models.CharField(blank=True, help_text="The number that the customer pays by.", max_length=30),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="enrollments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "classroom",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="enrollments",
                        to="training.classroom",
                    ),
                ),
                (
                    "training_class",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="enrollments",
                        to="training.trainingclass",
                        verbose_name="class",
                    ),
                ),
            ],
            options={
                "ordering": ["training_class", "pk"],
            },
        ),
        migrations.CreateModel(
            name="UserAchievement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("points", models.PositiveIntegerField(help_text="What it was worth when it was earned.")),
                ("earned_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="earned")),
                (
                    "achievement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="awards", to="training.achievement"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="achievements",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-earned_at", "pk"],
            },
        ),
        migrations.CreateModel(
            name="Voucher",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("last_modified", models.DateTimeField(auto_now=True)),
                ("order_id", models.CharField(db_index=True, max_length=50, verbose_name="order ID")),
                ("purchased_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="purchased")),
                ("expires_at", models.DateTimeField(db_index=True, verbose_name="expires")),
                ("redeemed_at", models.DateTimeField(blank=True, null=True, verbose_name="redeemed")),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="vouchers", to="training.course"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="vouchers", to="training.organization"
                    ),
                ),
                (
                    "redeemed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="redeemed_vouchers",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "redeemed_class",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="vouchers",
                        to="training.trainingclass",
                    ),
                ),
            ],
            options={
                "ordering": ["expires_at", "pk"],
            },
        ),
        migrations.CreateModel(
            name="ActivityResult",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed")),
                ("score", models.FloatField(blank=True, null=True)),
                (
                    "activity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="results", to="training.activity"
                    ),
                ),
                (
                    "assignment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="results",
                        to="training.courseassignment",
                    ),
                ),
            ],
            options={
                "ordering": ["assignment", "activity"],
                "constraints": [
                    models.UniqueConstraint(fields=("assignment", "activity"), name="result_once_per_activity"),
                ],
            },
        ),
        migrations.CreateModel(
            name="CourseFeedback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=150)),
                ("content", models.TextField(blank=True)),
                ("positive", models.BooleanField(default=False)),
                ("negative", models.BooleanField(default=False)),
                ("submitted_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="submitted")),
                (
                    "activity",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="feedback",
                        to="training.activity",
                    ),
                ),
                (
                    "class_enrollment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feedback",
                        to="training.classenrollment",
                    ),
                ),
                (
                    "course",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="feedback", to="training.course"
                    ),
                ),
                (
                    "course_assignment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feedback",
                        to="training.courseassignment",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty where the learner stays unnamed.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="feedback",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "course feedback",
                "ordering": ["-submitted_at", "pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("class_enrollment__isnull", False), ("course_assignment__isnull", True)),
                            models.Q(("class_enrollment__isnull", True), ("course_assignment__isnull", False)),
                            _connector="OR",
                        ),
                        name="feedback_on_class_or_course",
                        violation_error_message="Feedback belongs to a class enrollment or to a course assignment.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("negative", True), ("positive", True), _negated=True),
                        name="feedback_not_both_ways",
                        violation_error_message="Feedback is positive, negative or neither.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="learningpath",
            name="courses",
            field=models.ManyToManyField(
                related_name="learning_paths", through="training.LearningPathCourse", to="training.course"
            ),
        ),
    ]

"""Studies that wait to be reported on, and what came of them.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of jobs and of their studies."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("key", sa.String(255), nullable=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("served", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("owner", "key", name="uq_jobs_owner"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "served", "id"])
    op.create_index("ix_jobs_ended", "jobs", ["ended"])
    op.create_table(
        "job_studies",
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("given", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(32), nullable=True),
        sa.Column("begun", sa.BigInteger, nullable=True),
        sa.Column("lease", sa.BigInteger, nullable=True),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("outcome", sa.LargeBinary, nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_studies_job"),
        sa.PrimaryKeyConstraint("job", "number", name="pk_job_studies"),
    )
    op.create_index("ix_job_studies_state", "job_studies", ["state", "lease"])
    op.create_index("ix_job_studies_worker", "job_studies", ["worker"])
    op.create_index("ix_job_studies_ended", "job_studies", ["ended"])

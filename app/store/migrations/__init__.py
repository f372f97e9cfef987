"""Alembic's migrations of the store's database; `app/store/database.py` runs them."""

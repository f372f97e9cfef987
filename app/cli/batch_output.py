"""What `crossray batch` and `batch-merge` print for people."""

from collections.abc import Sequence

from app.batch.merging import Merged
from app.batch.run import Outcome

__all__ = ["batch_text", "merged_text"]

ROWS_SHOWN = 20


def batch_text(outcome: Outcome, summary: str) -> str:
    """What a batch came to.

    Args:
        summary: the file that lists it study by study.
    """
    skipped = [file for file in outcome.unread if file.status == "skipped"]
    failed = [file for file in outcome.unread if file.status == "failed"]
    lines = [f"skipped  {file.name}: {file.reason}" for file in skipped]
    if outcome.skipped > len(skipped):
        lines.append(f"skipped  {outcome.skipped - len(skipped)} more files, see {summary}")
    lines += [f"FAILED   {file.name}: {file.reason}" for file in failed]
    lines += _unmatched(outcome.unmatched)
    if outcome.warned or outcome.flagged:
        lines.append(
            f"{outcome.warned} studies with a warning, {outcome.flagged} with something to check "
            f"first: see {summary}"
        )
    lines.append(
        f"{outcome.done} studies reported, {outcome.kept} were there already, {outcome.refused} "
        f"refused, {outcome.skipped} files skipped, {len(failed)} failed: {summary}"
    )
    return "\n".join(lines)


def merged_text(merged: Merged, summary: str) -> str:
    """What the parts of a batch came to."""
    total = (
        f"{merged.done} studies reported, {merged.refused} refused, {merged.skipped} files "
        f"skipped, {merged.failed} failed: {summary}"
    )
    return "\n".join([*_unmatched(merged.unmatched), total])


def _unmatched(rows: Sequence[int]) -> list[str]:
    if not rows:
        return []
    shown = ", ".join(map(str, rows[:ROWS_SHOWN]))
    more = f" and {len(rows) - ROWS_SHOWN} more" if len(rows) > ROWS_SHOWN else ""
    return [f"rows of the indications that belong to no study: {shown}{more}"]

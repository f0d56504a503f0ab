"""`demo-history.json` in a stack's data directory: which histories were loaded, so that none is loaded twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tokentide_deploy.data_dir import write_private
from tokentide_deploy.errors import DeployError

FILE_NAME = "demo-history.json"


class LoadedHistory(BaseModel):
    """One load. Times are milliseconds since 1970 UTC; shift_ms is what was added to the scenario's own dates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int
    seed: int
    start_ms: int
    end_ms: int
    shift_ms: int
    state: Literal["sending", "loaded"]
    changed_at: datetime


class DemoState(BaseModel):
    """The file's content, oldest load first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    histories: tuple[LoadedHistory, ...] = ()

    def with_last(self, history: LoadedHistory, *, replace: bool) -> DemoState:
        """With a further load, or with the last one as it is now."""
        kept = self.histories[:-1] if replace else self.histories
        return DemoState(histories=(*kept, history.model_copy(update={"changed_at": datetime.now(UTC)})))


def load(data_dir: Path) -> DemoState:
    """What was loaded; empty without the file. Raises DeployError for a file that cannot be read."""
    path = data_dir / FILE_NAME
    try:
        return DemoState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return DemoState()
    except (OSError, ValidationError) as error:
        raise DeployError(
            f"{path} cannot be read ({type(error).__name__}): remove it to load a history again."
        ) from None


def save(data_dir: Path, state: DemoState) -> None:
    """Replace the file."""
    write_private(data_dir / FILE_NAME, state.model_dump_json(indent=1) + "\n")

"""A plan in, the `README.md` of the LeRobot data set out, with the lines that the Hub reads."""

from pathlib import Path

from vpdata import __version__
from vpdata.export.lerobot_plan import LeRobotPlan

CARD = """---
task_categories:
- robotics
tags:
- LeRobot
configs:
- config_name: default
  data_files: data/*/*.parquet
---

{num_episodes} episodes, {num_frames} frames at {fps:g} a second, cameras {cameras}. LeRobot format v{version}, made by
vpdata {tool_version}; `meta/vpdata.json` says from what.

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("{repo_id}", root="PATH/TO/THIS/FOLDER")
```
"""


def card(plan: LeRobotPlan, out: Path, *, repo_id: str | None) -> str:
    """The text. Without a `repo_id` its example names the folder, as of a user `local`."""
    return CARD.format(
        num_episodes=len(plan.runs),
        num_frames=plan.num_frames,
        fps=plan.layout.fps,
        cameras=", ".join(camera.name for camera in plan.layout.cameras),
        version=plan.format_version,
        tool_version=__version__,
        repo_id=repo_id or f"local/{out.name}",
    )

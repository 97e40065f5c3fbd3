"""The README's examples stand there as they are here, and run; so does the demonstration."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oxmq.testing import DevBroker

EXAMPLES = Path(__file__).parent.parent
ROOT = EXAMPLES.parent
TARGET = ROOT / "target" / "debug"
QUICKSTARTS = {
    "rust": (EXAMPLES / "rust/quickstart.rs", [str(TARGET / "quickstart")]),
    "python": (EXAMPLES / "python/quickstart.py", [sys.executable, "python/quickstart.py"]),
    "js": (EXAMPLES / "node/quickstart.mjs", ["node", "node/quickstart.mjs"]),
}


@pytest.fixture
def name_server() -> Iterator[str]:
    with DevBroker() as broker:
        yield broker.name_server


@pytest.mark.parametrize("language", QUICKSTARTS)
@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_shows_the_quickstart(readme: str, language: str) -> None:
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)
    code = QUICKSTARTS[language][0].read_text()
    # The file's head says what it is; the README says it in its own words.
    assert code.split("\n\n", 1)[1].strip() in [block.strip() for block in blocks]


@pytest.mark.parametrize("language", QUICKSTARTS)
def test_the_quickstart_sends_and_receives(language: str, name_server: str) -> None:
    command = QUICKSTARTS[language][1]
    environment = {**os.environ, "OXMQ_NAME_SERVER": name_server}
    run = subprocess.run(
        command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert re.search(r"stored as [0-9A-F]{32}", run.stdout)
    assert "received one espresso" in run.stdout


def test_the_demonstration_loses_nothing(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text("".join(f'{{"number":{n}}}\n' for n in range(600)))
    command = [str(TARGET / "demo"), "--events", str(events), "--rate", "100"]
    run = subprocess.run(
        [*command, "--python", sys.executable, "--workers", str(EXAMPLES)],
        capture_output=True, text=True, timeout=150, check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "events in = events out: 600" in run.stdout

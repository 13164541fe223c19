"""What every command needs: settings, and the home opened."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer
from rich.console import Console

from exchange.home import Home, Mode, open_home
from exchange.settings import Settings

console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)  # a file or pipe has no narrow edge


Office = Annotated[str, typer.Option(help="对外联系的部门 / office that answers, as 客户服务部; no person's name.")]
Phone = Annotated[str, typer.Option(help="部门电话 / its phone, as 0971-0000000; nobody's mobile.")]
Address = Annotated[str, typer.Option(help="地址 / its address.")]
Email = Annotated[str | None, typer.Option(help="邮箱 / its e-mail.")]
Web = Annotated[str | None, typer.Option(help="网址 / its web page; https.")]


def settings() -> Settings:
    """Read the settings from the environment, anew for each command."""
    return Settings()


@contextmanager
def opened() -> Iterator[Home]:
    """Open the home of the environment."""
    with open_home(settings()) as home:
        if home.installation.mode is Mode.SANDBOX:
            console.print("[dim]sandbox: every person in this home is made up (沙箱环境，数据均为合成)[/dim]")
        yield home


def read_mode() -> Mode:
    """Read what the home was made as, without opening or making it."""
    path = settings().home / "installation.json"
    return Mode(orjson.loads(path.read_bytes())["mode"]) if path.exists() else Mode.SANDBOX

"""The pages that people open, and their files; they hold nothing, so that no token is asked for them."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent / "page"
SHARED = {f"/{file.name}": file for file in FOLDER.iterdir() if file.suffix in (".css", ".js")}
SWAGGER = Path(fastapi_offline.__file__).parent / "static"  # Swagger UI, so that /docs asks no other host for it
SHARED |= {f"/{name}": SWAGGER / name for name in ("swagger-ui.css", "swagger-ui-bundle.js")}
FILES = {"/": FOLDER / "index.html", "/docs": FOLDER / "docs.html", **SHARED}
ANEW = {"cache-control": "no-cache"}  # else a browser might mix the scripts of two releases


def pages(app: FastAPI) -> None:
    for path, file in FILES.items():
        app.add_route(path, sent(file), include_in_schema=False)


def sent(file: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    async def answer(request: Request) -> FileResponse:
        return FileResponse(file, headers=ANEW)

    return answer

"""HTTP and websocket of the preview: who may come in, and what they may have.

- It listens on 127.0.0.1 unless told otherwise.
- Each printed address holds a token that opens one session, once; the session's cookie is of that browser only.
- Requests with another host's name (DNS rebinding) or from another origin are refused.
- Files come from the case's folder or from the user's own upload, and uploads are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from rfasim.errors import InputError, RunError
from rfasim.preview import uploads
from rfasim.preview.draft import Draft
from rfasim.preview.scene import device_surface
from rfasim.preview.session import MOST_UPLOADS, Message, Session
from rfasim.preview.surfaces import soup

STATIC = Path(__file__).parent / "static"
COOKIE, HEADER = "rfasim_session", "x-rfasim"
MOST_UPLOAD = 2**30
"""bytes of one file"""
MOST_TEXT = 2**20
"""bytes of a case or another text"""
MOST_MESSAGE = 2**16
AWAY = 30.0
"""how long [s] a session without a page is kept, so that a page can be loaded again"""
NEVER_OPENED = 600.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Handler = Callable[[Request, Session], Awaitable[Response]]


class Refused(Exception):
    """A request that is not answered, with its status and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Preview:
    """The sessions of one server. ``case``: what each of them starts with, None for the phantom."""

    def __init__(self, case: Path | None = None, scan: Path | None = None) -> None:
        self.case, self.scan = case, scan
        self.hosts: set[str] = set()
        self.sessions: dict[str, Session] = {}
        self._tokens: set[str] = set()
        self._gone: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def token(self) -> str:
        """A token that opens one session, once."""
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return token

    async def enter(self, token: str) -> str:
        """A new session for a token; its cookie. Raises Refused."""
        known = next((one for one in self._tokens if secrets.compare_digest(one, token)), None)
        if known is None:
            raise Refused(403, "this address was used already, or is not of this server; take a new one from it")
        self._tokens.discard(known)
        loop = asyncio.get_running_loop()
        draft = None if self.case is None else Draft.read(self.case)
        session = Session(draft, loop, self.scan)
        cookie = secrets.token_urlsafe(32)
        self.sessions[cookie] = session
        self._gone[cookie] = time.monotonic() + NEVER_OPENED
        await asyncio.to_thread(session.start)  # the made-up patient takes seconds, which others need not wait for
        return cookie

    def of(self, connection: HTTPConnection) -> Session:
        """The session of a request. Raises Refused."""
        given = connection.cookies.get(COOKIE, "")
        found = next((one for key, one in self.sessions.items() if secrets.compare_digest(key, given)), None)
        if found is None:
            raise Refused(403, "no session: open the address that rfasim preview printed")
        return found

    def came(self, session: Session) -> None:
        """A page of the session is there."""
        self._gone.pop(self._cookie(session), None)

    def went(self, session: Session) -> None:
        """It has been closed; soon the session will be, too."""
        self._gone[self._cookie(session)] = time.monotonic() + AWAY

    def _cookie(self, session: Session) -> str:
        return next((key for key, one in self.sessions.items() if one is session), "")

    async def watch(self) -> None:
        """Close sessions that nobody looks at."""
        while True:
            await asyncio.sleep(1.0)
            for cookie in [key for key, until in self._gone.items() if time.monotonic() > until]:
                del self._gone[cookie]
                session = self.sessions.pop(cookie, None)
                if session is not None:
                    session.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """While the server runs."""
        task = asyncio.create_task(self.watch())
        try:
            yield
        finally:
            task.cancel()
            for session in self.sessions.values():
                session.close()
            self.sessions.clear()

    # -------------------------------------------------------------------------------------------------- the app

    def app(self) -> ASGIApp:
        """The ASGI application."""
        get = {
            "/api/volume/{name}": self._volume, "/api/surface/{name}": self._surface,
            "/api/zone/{side}/{model}": self._zone,
            "/api/margin/{side}/{level}/{name}": self._margin, "/api/device/{index:int}.mz3": self._device,
            "/api/case.yaml": self._case, "/api/report.html": self._report,
        }  # fmt: skip
        post = {"/api/case": self._open, "/api/upload": self._upload, "/api/anatomy": self._anatomy}
        routes: list[Any] = [Route("/", self._page)]
        routes += [Route(path, self._guarded(handler)) for path, handler in get.items()]
        routes += [Route(path, self._guarded(handler), methods=["POST"]) for path, handler in post.items()]
        routes += [
            Route("/api/drawing/{name}", self._guarded(self._drawing)),
            WebSocketRoute("/ws", self._socket),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        inner = Starlette(routes=routes, lifespan=self.lifespan)
        return _Door(inner, self.hosts)

    async def _page(self, request: Request) -> Response:
        token = request.query_params.get("token")
        try:
            if token is not None:
                cookie = await self.enter(token)
                answer: Response = RedirectResponse("/", status_code=303)
                answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict")
                return answer
            self.of(request)
        except Refused as refusal:
            return Response(_plain_page(refusal.message), refusal.status, media_type="text/html")
        except InputError as error:
            return Response(_plain_page(str(error)), 400, media_type="text/html")
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-store"})

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A handler with its session, its refusals as JSON."""

        async def guarded(request: Request) -> Response:
            try:
                session = self.of(request)
                if request.method == "POST" and HEADER not in request.headers:
                    raise Refused(403, "not from the page")
                return await handler(request, session)
            except Refused as refusal:
                return JSONResponse({"message": refusal.message}, refusal.status)
            except InputError as error:
                return JSONResponse({"message": str(error), "lines": str(error).splitlines()}, 400)
            except (RunError, TimeoutError) as error:
                return JSONResponse({"message": str(error) or "that took too long"}, 500)

        return guarded

    # ------------------------------------------------------------------------------------------------- answers

    async def _file(self, path: Path) -> Response:
        if not path.is_file():
            raise Refused(404, "there is no such file now")
        return Response(await asyncio.to_thread(path.read_bytes), media_type="application/octet-stream")

    async def _volume(self, request: Request, session: Session) -> Response:
        name = request.path_params["name"]
        if name not in ("background.nii", "labels.nii"):
            raise Refused(404, "there is no such volume")
        return await self._file(session.folder / f"scene-{session.key}" / name)

    async def _surface(self, request: Request, session: Session) -> Response:
        known = [] if session.scene is None else [f"{one['id']}.mz3" for one in session.scene["surfaces"]]
        name = request.path_params["name"]
        if name not in known:
            raise Refused(404, "there is no such surface")
        return await self._file(session.folder / f"scene-{session.key}" / name)

    async def _zone(self, request: Request, session: Session) -> Response:
        try:
            at = float(request.query_params.get("t", "inf"))
        except ValueError:
            raise Refused(400, "t is a time in seconds") from None
        model = request.path_params["model"].removesuffix(".mz3")
        triangles = await asyncio.to_thread(session.zone_surface, request.path_params["side"], model, at)
        if triangles is None or len(triangles) == 0:
            return Response(status_code=204)
        return Response(await asyncio.to_thread(soup, triangles), media_type="application/octet-stream")

    async def _margin(self, request: Request, session: Session) -> Response:
        places = request.path_params
        known = [] if session.scene is None else [f"{one['id']}.mz3" for one in session.scene["surfaces"]]
        if places["name"] not in known:
            raise Refused(404, "there is no such surface")
        path = session.margin_file(places["side"], places["level"], places["name"].removesuffix(".mz3"))
        return await self._file(path or Path("nowhere"))

    async def _device(self, request: Request, session: Session) -> Response:
        index = request.path_params["index"]
        if session.draft is None or index >= len(session.draft.case.electrodes):
            raise Refused(404, "there is no such electrode")
        data = await asyncio.to_thread(device_surface, session.draft.case, index)
        return Response(data, media_type="application/octet-stream")

    async def _drawing(self, request: Request, _: Session) -> Response:
        from rfasim.preview.drawings import drawing

        name = request.path_params["name"].removesuffix(".svg")
        data = await asyncio.to_thread(drawing, name, request.query_params.get("model"))
        return Response(data, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})

    async def _case(self, _: Request, session: Session) -> Response:
        if session.draft is None:
            raise Refused(409, "no case is open")
        headers = {"Content-Disposition": 'attachment; filename="case.yaml"'}
        return Response(session.draft.yaml(), media_type="application/yaml", headers=headers)

    async def _report(self, _: Request, session: Session) -> Response:
        try:
            page = await asyncio.to_thread(session.report)
        except InputError as error:
            raise Refused(409, error.message) from None
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    # --------------------------------------------------------------------------------------------------- posts

    async def _body(self, request: Request, most: int) -> bytes:
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > most:
                raise Refused(413, f"is larger than {most // 2**20} MB")
        return bytes(data)

    async def _open(self, request: Request, session: Session) -> Response:
        try:
            text = (await self._body(request, MOST_TEXT)).decode()
        except UnicodeDecodeError:
            raise InputError("case", "is no text; give a case file (.yaml)") from None
        session.open_text(text)
        return JSONResponse({})

    async def _upload(self, request: Request, session: Session) -> Response:
        name = uploads.safe_name(request.query_params.get("name", ""))
        path, part = session.files / name, session.files / f"{name}.part"
        held = sum(one.stat().st_size for one in session.files.iterdir())
        size = 0
        try:
            with part.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MOST_UPLOAD or held + size > MOST_UPLOADS:
                        most = MOST_UPLOAD // 2**20
                        raise Refused(413, f"is larger than {most} MB, or all files together are too large")
                    file.write(chunk)
            part.replace(path)
        except OSError as error:
            raise RunError(f"the file could not be kept: {error.strerror or error}") from None
        finally:
            part.unlink(missing_ok=True)
        try:
            found = await session.inspect(path)
        except (InputError, TimeoutError):
            path.unlink(missing_ok=True)
            raise
        if found["what"] == "ct":
            session.use_scan(path)
        return JSONResponse(found)

    async def _anatomy(self, request: Request, session: Session) -> Response:
        try:
            asked = json.loads(await self._body(request, MOST_TEXT))
            name, roles = str(asked["file"]), {str(key): str(role) for key, role in asked["roles"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(400, "give the file and the role of each label") from None
        await session.use_labels(name, roles)
        return JSONResponse({})

    # --------------------------------------------------------------------------------------------------- socket

    async def _socket(self, socket: WebSocket) -> None:
        try:
            session = self.of(socket)
        except Refused:
            await socket.close(4403)
            return
        await socket.accept()
        outbox = _Outbox()
        before, session.emit = session.emit, outbox.put
        if before is not None:
            before(json.dumps({"event": "note", "message": "this session was opened in another window"}))
        self.came(session)
        sender = asyncio.create_task(outbox.send_to(socket))
        session.greet()
        try:
            while True:
                text = await socket.receive_text()
                if len(text) > MOST_MESSAGE:
                    continue
                self._hear(session, text)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            sender.cancel()
            if session.emit == outbox.put:
                session.emit = None
                session.cancel()
                self.went(session)

    @staticmethod
    def _hear(session: Session, text: str) -> None:
        try:
            message = json.loads(text)
            if not isinstance(message, dict):
                raise InputError("message", "is no group of keys")
            session.ask(message)
        except ValueError as error:
            session.refuse("message", str(error))
        except (InputError, RunError) as error:
            session.refuse(str(error), *str(error).splitlines())


class _Outbox:
    """Messages on their way to a page. Where it is slow, of what it will draw over anyway only the newest is kept."""

    MOST = 200

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    def put(self, message: Message) -> None:
        if self._messages.qsize() < self.MOST or not (isinstance(message, str) and '"event": "frame"' in message):
            self._messages.put_nowait(message)

    async def send_to(self, socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                message = await self._messages.get()
                if isinstance(message, str):
                    await socket.send_text(message)
                else:
                    await socket.send_bytes(message)


class _Door:
    """Refuses foreign hosts and origins, and puts the policy on every answer."""

    def __init__(self, app: ASGIApp, hosts: set[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if host not in self.hosts or foreign:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
            else:
                await JSONResponse({"message": "refused: foreign host or origin"}, 403)(scope, receive, send)
            return

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {key.lower() for key, _ in message["headers"]}
                extra = {
                    b"content-security-policy": POLICY.encode(), b"x-content-type-options": b"nosniff",
                    b"referrer-policy": b"no-referrer", b"cross-origin-resource-policy": b"same-origin",
                    b"x-frame-options": b"DENY",
                }  # fmt: skip
                message["headers"] = [*message["headers"], *((k, v) for k, v in extra.items() if k not in names)]
            await send(message)

        await self.app(scope, receive, with_policy)


def _plain_page(message: str) -> str:
    import html

    return f"<!doctype html><meta charset=utf-8><title>rfasim preview</title><p>{html.escape(message)}</p>"


def hosts_of(host: str, port: int) -> set[str]:
    """How a browser may call the server."""
    names = {host, "127.0.0.1", "localhost"} if host in ("127.0.0.1", "localhost") else {host}
    return {f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names}


def listen(case: Path | None, scan: Path | None, host: str, port: int, say: Callable[[str], None], *, links: int = 1,
           open_browser: bool = False) -> None:  # fmt: skip
    """Serve until Ctrl-C. Raises InputError for a case that is wrong or a port that is taken."""
    import socket

    import uvicorn

    if case is not None:
        Draft.read(case)
    if scan is not None and not scan.exists():
        raise InputError("--scan", f"{scan} does not exist")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # a browser that is faster than the server waits
    except OSError as error:
        listener.close()
        raise InputError("--port", f"{host}:{port} cannot be used: {error.strerror or error}") from None
    port = listener.getsockname()[1]
    preview = Preview(case, scan)
    preview.hosts |= hosts_of(host, port)
    name = f"[{host}]" if ":" in host else host
    addresses = [f"http://{name}:{port}/?token={preview.token()}" for _ in range(links)]
    for address in addresses:
        say(f"open {address}")
    say("each address opens one session, once; Ctrl-C ends the server")
    if open_browser:
        import webbrowser

        webbrowser.open(addresses[0])
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    settings = uvicorn.Config(preview.app(), log_level="warning", access_log=False, ws_max_size=MOST_MESSAGE,
                              timeout_graceful_shutdown=2)  # fmt: skip
    uvicorn.Server(settings).run(sockets=[listener])

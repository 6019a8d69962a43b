"""Test servers by name."""

from xdseg.errors import BadInput, suggest
from xdseg.exports import acdc, cityscapes, dark_zurich, loveda
from xdseg.exports.contract import Server

SERVERS = {
    server.name: server
    for server in (acdc.SERVER, cityscapes.SERVER, dark_zurich.SERVER, loveda.SERVER, loveda.URBAN, loveda.RURAL)
}


def server(name: str) -> Server:
    """The server of a name. Raises BadInput that names the nearest known one."""
    if name not in SERVERS:
        raise BadInput(f"export: unknown test server {name!r}; {suggest(name, SERVERS)}")
    return SERVERS[name]

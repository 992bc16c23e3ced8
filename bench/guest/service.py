# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A web service in a guest: GET /KEY is answered with the digest of the
key's items, which are in Python's memory (web) or in a database (sqlite), and
GET /hello at once."""

import http.server
import sqlite3
import sys

import items

PORT = 7


def in_memory():
    contents = [items.item(number) for number in range(items.N_ITEMS)]
    return contents.__getitem__


def in_database():
    # The root file system is in memory as well.
    database = sqlite3.connect("/tmp/items.db", check_same_thread=False)
    database.execute("CREATE TABLE items (number INTEGER PRIMARY KEY, "
                     "content BLOB)")
    with database:
        database.executemany(
            "INSERT INTO items VALUES (?, ?)",
            ((number, items.item(number))
             for number in range(items.N_ITEMS)))

    def get(number):
        row = database.execute("SELECT content FROM items WHERE number = ?",
                               (number,)).fetchone()
        return row[0]
    return get


GETS = {"web": in_memory, "sqlite": in_database}


class Handler(http.server.BaseHTTPRequestHandler):

    protocol_version = "HTTP/1.1"  # one connection, several requests

    def _body(self):
        if self.path == "/hello":
            return "hello"
        key = int(self.path.removeprefix("/"))
        return items.digest(map(self.server.get, items.items_of(key)))

    def do_GET(self):
        body = self._body()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Nothing on the console."""


def main():
    get = GETS[sys.argv[1]]()
    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    server.get = get
    print("preheat-guest: ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

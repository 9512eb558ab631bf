"""One request is one request: never sent on to another place, and the token stays out of every text."""

from __future__ import annotations

import http.server
import threading
from types import SimpleNamespace

import pytest

from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.ibm.link import link_of


@pytest.fixture
def server():
    """Answers every request with a redirect to itself, and counts."""
    asked = []

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.command, self.path))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


def link(url, get_token):
    manager = SimpleNamespace(get_token=get_token, access_token=None, expire_time=0, refresh_time=0, request_time=0)
    auth = SimpleNamespace(tm=manager, crn="crn")
    client = SimpleNamespace(_session=SimpleNamespace(base_url=url, auth=auth, proxies={}, verify=True))

    class Service:
        _all_instances = ()

        def _get_api_clients(self):
            return {"crn": client}

    return link_of(Service(), "crn")


def test_a_submission_is_not_sent_on_to_another_place(server):
    url, asked = server
    with pytest.raises(ServiceError) as caught:
        link(url, lambda: "token").post_job("{}")
    assert caught.value.status == 307
    assert not caught.value.outcome_unknown
    assert asked == [("POST", "/jobs")]


def test_without_an_access_token_nothing_is_sent_and_the_key_is_not_in_the_text(server):
    url, asked = server

    def refuse():
        raise ValueError("the key s3cret was refused")

    with pytest.raises(UnreachableError) as caught:
        link(url, refuse).post_job("{}")
    assert not caught.value.sent
    assert "s3cret" not in str(caught.value)
    assert asked == []

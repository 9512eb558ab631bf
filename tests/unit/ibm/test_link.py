"""One request is one request: never sent on to another place, and the token stays out of every text."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.ibm.link import ask, link_of


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


@pytest.fixture
def unanswered():
    """Takes connections, and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def link(url, *, token="token", iam="http://127.0.0.1:9"):
    """Of a service whose client has this access token, and asks there for another one."""
    later = time.time() + 3600
    manager = SimpleNamespace(
        access_token=token,
        expire_time=later,
        refresh_time=later,
        request_payload={"apikey": "s3cret"},
        scope=None,
        headers={},
        client_id=None,
        client_secret=None,
        url=iam,
        OPERATION_PATH="/identity/token",
    )
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
        ask(link(url).post_job, "{}")
    assert caught.value.status == 307
    assert not caught.value.outcome_unknown
    assert asked == [("POST", "/jobs")]


@pytest.mark.parametrize("answers", [True, False])
def test_without_an_access_token_nothing_is_sent_and_the_key_is_not_in_the_text(server, answers):
    """IAM redirects, or nobody answers at its address."""
    url, asked = server
    iam = f"{url}/iam" if answers else "http://127.0.0.1:9"
    with pytest.raises(UnreachableError) as caught:
        ask(link(url, token=None, iam=iam).post_job, "{}")
    assert not caught.value.sent
    assert "s3cret" not in str(caught.value)
    assert ("POST", "/jobs") not in asked
    assert asked == [("POST", "/iam/identity/token")] * answers


def test_a_request_that_is_not_answered_in_time_says_so_and_may_have_been_carried_out(unanswered):
    far = link(unanswered)
    for far.small in (0.2, 1.0, 5.0, 20.0):  # seconds: a busy machine may not even have sent it by then
        with pytest.raises(UnreachableError) as caught:
            ask(far.post_job, "{}")
        if caught.value.sent:
            break
    assert caught.value.sent
    assert caught.value.timed_out

"""A provider with one knob per fault, for what a real one cannot be made to do. It writes down what it took."""

import contextlib
import dataclasses
import re
import socket
import ssl
import threading

USERNAME, PASSWORD = "app@script.test", "correct horse"


@dataclasses.dataclass
class Taken:
    """One message that was answered with 250, or would have been."""

    sender: str
    recipients: list
    content: bytes
    # MAIL and the RCPTs as they came.
    commands: list


class Provider:
    """SMTP inside TLS on a port of its own, with a thread for each connection."""

    def __init__(self, certificate, key, host="127.0.0.1"):
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._lock, self._host = threading.Lock(), host
        self._listener, self._open, self.port = None, set(), 0
        self.taken = []
        self.reset()
        self.up()

    def reset(self):
        """Every knob back to where nothing goes wrong."""
        self.login = "235 2.7.0 Welcome"
        self.final = "250 2.0.0 Ok: taken"
        self.lose_after_content = False

    def up(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self.port))
        listener.listen(64)
        self.port, self._listener = listener.getsockname()[1], listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self):
        """Connections are cut, and new ones refused."""
        listener, self._listener = self._listener, None
        # A thread that waits in accept() keeps a closed socket listening; this wakes it.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            for connection in self._open:
                cut(connection)

    def of(self, mark):
        with self._lock:
            return [taken for taken in self.taken if b"X-Mark: %s\r\n" % mark.encode() in taken.content]

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.settimeout(60)
            # Several small replies to one flight would wait for one another, 40 ms each.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._context.wrap_socket(connection, server_side=True) as stream:
                with self._remembered(stream):
                    self._converse(stream, stream.makefile("rb"))
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    @contextlib.contextmanager
    def _remembered(self, stream):
        with self._lock:
            self._open.add(stream)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(stream)

    def _converse(self, stream, lines):
        def say(reply):
            stream.sendall(reply.encode() + b"\r\n")

        say("220 script.test ESMTP")
        sender, recipients, commands = "", [], []
        while line := lines.readline():
            verb, _, rest = line.decode().rstrip("\r\n").partition(" ")
            if verb == "EHLO":
                keywords = ["PIPELINING", "8BITMIME", "SIZE 50000000", "DSN", "AUTH PLAIN LOGIN"]
                say("\r\n".join(["250-script.test", *[f"250-{keyword}" for keyword in keywords], "250 HELP"]))
            elif verb == "AUTH":
                say(self.login)
            elif verb == "MAIL":
                sender, recipients, commands = path_of(rest), [], [rest]
                say("250 2.1.0 Ok")
            elif verb == "RCPT":
                recipients.append(path_of(rest))
                commands.append(rest)
                say("250 2.1.5 Ok")
            elif verb == "DATA":
                say("354 Go on")
                content = content_of(lines)
                if self.final.startswith("250"):
                    with self._lock:
                        self.taken.append(Taken(sender, recipients, content, commands))
                if self.lose_after_content:
                    return
                say(self.final)
            elif verb == "QUIT":
                say("221 2.0.0 Bye")
                return
            else:
                say("250 2.0.0 Ok")


def path_of(argument):
    return re.search(r"<(.*?)>", argument)[1]


def content_of(lines):
    content = []
    while (line := lines.readline()) != b".\r\n":
        if not line:
            raise ValueError("cut off")
        content.append(line[1:] if line.startswith(b".") else line)
    return b"".join(content)


def cut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass

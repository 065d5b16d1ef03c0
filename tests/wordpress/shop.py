"""A WordPress of Debian's packages, with a MariaDB and a web server of its own, and somebody with a browser."""

import html.parser
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.parse
import uuid
from http.cookies import SimpleCookie

from harness import PATIENCE, ROOT, TOOLS, Wrong, expect, within

HERE = pathlib.Path(__file__).parent
PLUGIN = pathlib.Path(ROOT, "deploy/wordpress/mu-plugins/sidepost.php")
HOST = "shop.test"
ADMIN, PASSWORD, EMAIL = "keeper", "a long password 1!", "keeper@inbox.test"


class Group:
    """A program with all the processes that it starts."""

    def __init__(self, stack, command, log, variables=None):
        self._log = open(log, "ab")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SIDEPOST_")}
        self._process = subprocess.Popen(
            command,
            env={**environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(self.end)

    def alive(self):
        return self._process.poll() is None

    def end(self):
        if self._log.closed:
            return
        if self.alive():
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._log.close()


def start_database(stack, folder):
    """MariaDB on a socket alone; the socket's path."""
    place, socket = folder / "database", folder / "database.sock"
    user = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={place}", "--skip-test-db", *user]
    install.append("--auth-root-authentication-method=normal")
    done = subprocess.run(install, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    expect(done.returncode == 0, done.stdout.decode())
    script = folder / "database.sql"
    script.write_text(
        "CREATE DATABASE wordpress;\n"
        "CREATE USER wordpress@localhost IDENTIFIED BY 'only here';\n"
        "GRANT ALL ON wordpress.* TO wordpress@localhost;\n"
    )
    options = [f"--datadir={place}", f"--socket={socket}", f"--init-file={script}", f"--pid-file={folder}/database.pid"]
    # It is thrown away with the folder.
    quick = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--innodb-use-native-aio=0"]
    log = folder / "database.log"
    server = Group(stack, ["/usr/sbin/mariadbd", "--no-defaults", *options, *quick, *user], log)

    def ready():
        expect(server.alive(), log.read_text())
        return "ready for connections" in log.read_text()

    within(ready, "MariaDB answers", 60)
    return socket


class Site:
    """WordPress under PHP's own web server; `plugin` says whether ours is there."""

    def __init__(self, stack, folder, port, variables):
        self._stack, self.port, self._variables = stack, port, variables
        self.root, self.log = folder / "site", folder / "site.log"
        shutil.copytree(pathlib.Path(TOOLS, "wordpress/site"), self.root)
        shutil.copy(HERE / "wp-config.php", self.root)
        (self.root / "wp-content/mu-plugins").mkdir()
        shutil.copy(HERE / "contact-form.php", self.root / "wp-content/mu-plugins")
        self._place = self.root / "wp-content/mu-plugins/sidepost.php"
        self._server = None
        self.start()

    def start(self, **changed):
        if self._server:
            self._server.end()
            # Its workers end a moment later than it does, and hold the port.
            within(lambda: not self._answers(), "the web server is gone")
        home = {"SITE_HOME": f"http://{HOST}:{self.port}", "PHP_CLI_SERVER_WORKERS": "3"}
        options = ["-d", "display_errors=1", "-d", "mail.add_x_header=1", "-d", "upload_max_filesize=8M", "-d", "post_max_size=9M"]
        command = ["php", *options, "-S", f"127.0.0.1:{self.port}", "-t", str(self.root)]
        self._server = Group(self._stack, command, self.log, {**home, **self._variables, **changed})
        within(self._serves, "WordPress answers")

    def _serves(self):
        expect(self._server.alive(), f"the web server ended: {self.log.read_text(errors='replace')[-2000:]}")
        return self._answers()

    def _answers(self):
        try:
            Browser(self.port).get("/readme.html")
            return True
        except OSError:
            return False

    def plugin(self, wanted):
        if wanted:
            shutil.copy(PLUGIN, self._place)
        else:
            self._place.unlink(missing_ok=True)

    def browser(self):
        return Browser(self.port)

    def install(self):
        fields = {"weblog_title": "The Shop & Sons", "user_name": ADMIN, "admin_email": EMAIL, "blog_public": "0"}
        fields.update(admin_password=PASSWORD, admin_password2=PASSWORD, pw_weak="1", language="")
        page = self.browser().post("/wp-admin/install.php?step=2", fields)
        expect("Success!" in page.words, page.words)

    def admin(self, password=PASSWORD, user=ADMIN):
        browser = self.browser()
        browser.get("/wp-login.php")
        page = browser.post("/wp-login.php", {"log": user, "pwd": password, "testcookie": "1"})
        expect(page.path.startswith("/wp-admin/"), f"no login: {page.words}")
        return browser


class Page(html.parser.HTMLParser):
    """What came: its words as somebody reads them, and its form fields with their values."""

    def __init__(self, status, path, text):
        super().__init__()
        self.status, self.path, self.text = status, path, text
        self.fields, self.links, self._said, self._ids, self._hidden = {}, [], [], {}, 0
        self.feed(text)
        self.words = " ".join("".join(self._said).split())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "input" and attributes.get("name"):
            self.fields[attributes["name"]] = attributes.get("value") or ""
        if attributes.get("id"):
            self._ids[attributes["id"]] = len(self._said)
        self._hidden += tag in ("script", "style")
        self._said.append(" ")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")
        self._said.append(" ")

    def handle_data(self, data):
        self._said.append("" if self._hidden else data)

    def has(self, identity):
        return identity in self._ids


class Browser:
    """Cookies and redirections, on 127.0.0.1 whatever the site is called."""

    def __init__(self, port):
        self._port, self._cookies = port, {}

    def get(self, path):
        return self._ask("GET", path, None, {})

    def post(self, path, fields, file=None):
        if file is None:
            kind, body = "application/x-www-form-urlencoded", urllib.parse.urlencode(fields).encode()
        else:
            kind, body = multipart(fields, *file)
        return self._ask("POST", path, body, {"Content-Type": kind})

    def _ask(self, method, path, body, headers, hops=10):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2 * PATIENCE)
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Host": f"{HOST}:{self._port}", **({"Cookie": cookies} if cookies else {}), **headers}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        place = answer.headers.get("Location")
        if answer.status in (301, 302, 303) and place:
            expect(hops > 0, f"redirected without end to {place}")
            place = urllib.parse.urljoin(f"http://{HOST}:{self._port}{path}", place)
            parts = urllib.parse.urlsplit(place)
            expect(parts.port == self._port, f"sent away to {place}")
            return self._ask("GET", parts.path + (f"?{parts.query}" if parts.query else ""), None, {}, hops - 1)
        complaint = re.search(r"<b>(Warning|Notice|Deprecated|Fatal error)</b>:.*sidepost\.php.*", text)
        if complaint:
            raise Wrong(f"PHP complains: {complaint[0]}")
        return Page(answer.status, path, text)


def multipart(fields, name, filename, content):
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    body = "".join(parts).encode() + head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body

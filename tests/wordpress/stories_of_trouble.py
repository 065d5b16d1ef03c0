"""Mail does not leave, and WordPress's administrator sees why; nobody else sees anything, and nothing hangs."""

import contextlib
import html
import http.server
import json
import socket
import threading

from harness import expect, expect_equal, within
from provider import PASSWORD as PROVIDER_PASSWORD
from stories_of_mail import check_content, contact, new_mark, next_mail, no_mail

PAGE = "/wp-admin/tools.php?page=sidepost"
LOST = "Mail from this site does not leave."
SORRY = (503, "Your message could not be sent.")


def has(page, *words):
    for word in words:
        expect(word in page.words, "no " + repr(word) + " in:\n" + page.words.replace(". ", ".\n"))


def refuse_visitor(world):
    page = no_mail(world, lambda: contact(world, new_mark()))
    expect_equal((page.status, SORRY[1] in page.words), (SORRY[0], True), "the visitor's page")
    expect("Sidepost" not in page.words and "451" not in page.words, page.words)


def send_test(browser, to="friend@inbox.test"):
    fields = browser.get(PAGE).fields
    return browser.post(PAGE, {**fields, "sidepost_to": to})


def and_it_passes(world, admin):
    """The test mail goes, which proves the chain; the notice is gone."""
    taken, _, page = next_mail(world, lambda: send_test(admin))
    expect_equal(taken.recipients, ["friend@inbox.test"], "recipients")
    has(page, "The test mail is sent.", "The provider took it for friend@inbox.test.", "Mail leaves.")
    for place in (PAGE, "/wp-admin/"):
        expect(not admin.get(place).has("sidepost-failure"), f"a notice on {place}")


def the_provider_is_down(world):
    admin = world.site.admin()
    with world.provider_down():
        refuse_visitor(world)
        has(admin.get("/wp-admin/"), LOST, "451 4.4.1", "What is broken, and a test mail")
        within(lambda: world.ask_health()["status"] == "fail", "Sidepost gives up on the provider")
        page = admin.get(PAGE)
        has(page, LOST, "Mail does not leave.", "What to do", "Connection failed", "Cause")
        page = no_mail(world, lambda: send_test(admin))
        has(page, "The test mail was not sent.", "451 4.4.1")
        check_against_health(world, page)
    and_it_passes(world, admin)


def the_login_is_refused(world):
    admin = world.site.admin()
    with world.fault(login="535 5.7.8 Username and Password not accepted"), reconnected(world):
        refuse_visitor(world)
        has(admin.get("/wp-admin/"), LOST, "451 4.7.0", "535")
        within(lambda: world.ask_health()["status"] == "fail", "Sidepost gives up on the login")
        page = admin.get(PAGE)
        has(page, "Mail does not leave.", "Login failed", "535 5.7.8", "SIDEPOST_PASSWORD")
        check_against_health(world, page)
        expect(PROVIDER_PASSWORD not in page.text and "only here" not in page.text, "a secret on the page")
    within(lambda: world.healthy(), "the login rests no more")
    and_it_passes(world, admin)


@contextlib.contextmanager
def reconnected(world):
    """Connections that are logged in already would not notice."""
    world.provider.down()
    world.provider.up()
    yield


def check_against_health(world, page):
    """One health truth: what Sidepost says stands on the page, word for word."""
    health = world.ask_health()
    for name in ("output", "remedy", "cause", "provider"):
        has(page, " ".join(health[name].split()))


def a_message_is_refused(world):
    """Which says nothing of the next one."""
    admin = world.site.admin()
    with world.fault(final="554 5.7.1 Looks like spam"):
        refuse_visitor(world)
    page = admin.get("/wp-admin/")
    has(page, "The last mail of this site was refused.", "554 5.7.1", "Looks like spam")
    and_it_passes(world, admin)


def sidepost_is_away(world):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{held.getsockname()[1]}"
        with world.changed(SIDEPOST_ADDRESS=away, WORDPRESS_SIDEPOST_HEALTH=f"http://{away}/health"):
            admin = world.site.admin()
            refuse_visitor(world)
            has(admin.get("/wp-admin/"), LOST, f"Sidepost does not answer at {away}", "Connection refused")
            page = no_mail(world, lambda: send_test(admin))
            has(page, "The test mail was not sent.", "Nothing is known.", f"does not answer at http://{away}/health")
    and_it_passes(world, world.site.admin())


def sidepost_is_silent(world):
    """Connections are taken, and nobody ever says a word: pages still come."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with world.changed(SIDEPOST_ADDRESS=place, WORDPRESS_SIDEPOST_HEALTH=f"http://{place}/health"):
            admin = world.site.admin()
            refuse_visitor(world)
            page = admin.get(PAGE)
            has(page, LOST, f"Sidepost does not answer at {place}", f"does not answer at http://{place}/health")
    and_it_passes(world, world.site.admin())


@contextlib.contextmanager
def health_of(body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        server.server_close()


def hostile_health(world):
    """Whatever answers in Sidepost's place, nothing of it becomes part of the page, and PHP does not complain."""
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    checks = {"connect": [{"state": evil, "output": evil, "remedy": [evil]}, evil, 7], "path": evil, "tls": {"a": {}}}
    hostile = {"serviceId": "sidepost", "state": evil, "output": evil, "remedy": evil, "cause": {"a": evil}}
    hostile.update(checks=checks, path=7, provider=evil)
    bodies = [json.dumps(hostile).encode(), b'{"serviceId":"sidepost","checks":7}']
    for body in bodies + [b"", b"[]", b"7", b"\xff{", b'{"serviceId":"other"}', b"[" * 100_000]:
        with health_of(body) as url, world.changed(WORDPRESS_SIDEPOST_HEALTH=url):
            page = world.site.admin().get(PAGE)
            expect_equal((page.status, page.has("sidepost-state")), (200, True), "the page")
            expect("<script>alert" not in page.text and "<img src=x" not in page.text, "it is part of the page")
            if body is bodies[0]:
                expect(html.escape(evil) in page.text, "what came is not shown")
            else:
                expect("is not Sidepost" in page.words or body is bodies[1], page.words)


def only_administrators(world):
    admin = world.site.admin()
    fields = admin.get("/wp-admin/user-new.php").fields
    names = ("action", "_wpnonce_create-user", "_wp_http_referer")
    new = {name: fields[name] for name in names} | {"user_login": "reader", "email": "reader@inbox.test"}
    new |= {"action": "createuser", "pass1": "reader's word", "pass2": "reader's word", "pw_weak": "on", "role": "editor"}
    admin.post("/wp-admin/user-new.php", new)
    reader = world.site.admin("reader's word", "reader")
    with world.provider_down():
        refuse_visitor(world)
        expect(not reader.get("/wp-admin/").has("sidepost-failure"), "an editor sees what is the administrator's")
    expect_equal(reader.get(PAGE).status, 403, "an editor's page")
    good = admin.get(PAGE).fields
    page = no_mail(world, lambda: reader.post(PAGE, {**good, "sidepost_to": "friend@inbox.test"}))
    expect_equal(page.status, 403, "an editor's test mail")
    stranger = world.site.browser()
    page = no_mail(world, lambda: stranger.post(PAGE, {**good, "sidepost_to": "friend@inbox.test"}))
    expect("sidepost" not in page.fields and page.path.startswith("/wp-login.php"), page.path)
    for nonce in ({}, {"sidepost_nonce": "0123456789"}):
        page = no_mail(world, lambda: admin.post(PAGE, {"sidepost_to": "friend@inbox.test", **nonce}))
        expect_equal(page.status, 403, "without a nonce")
    for bad in ("", "nobody", "a@b\r\nBcc: c@inbox.test", "<script>@x"):
        has(no_mail(world, lambda: admin.post(PAGE, {**good, "sidepost_to": bad})), "That is no address.")
    page = no_mail(world, lambda: admin.post(PAGE, {"sidepost_nonce": good["sidepost_nonce"], "sidepost_to[]": "x"}))
    has(page, "That is no address.")
    and_it_passes(world, admin)


def site_health(world):
    admin = world.site.admin()
    expect("Mail from this site leaves" in admin.get("/wp-admin/site-health.php").text, "Site Health is silent")
    with world.fault(login="535 5.7.8 Username and Password not accepted"), reconnected(world):
        refuse_visitor(world)
        text = admin.get("/wp-admin/site-health.php").text
        expect("Mail from this site does not leave" in text and "535 5.7.8" in text, "Site Health does not say why")
    within(lambda: world.healthy(), "the login rests no more")
    and_it_passes(world, admin)


def the_shim_says_why(world):
    """To the web server's log: PHP's mail() has only yes and no for WordPress."""
    world.site.plugin(False)

    def said(words):
        within(lambda: words in world.site.log.read_text(errors="replace"), f"{words!r} in the web server's log")

    with world.provider_down():
        refuse_visitor(world)
        said("sendmail: 451 4.4.1")
    with world.fault(login="535 5.7.8 Username and Password not accepted"), reconnected(world):
        refuse_visitor(world)
        said("sendmail: 451 4.7.0")
    within(lambda: world.healthy(), "the login rests no more")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{held.getsockname()[1]}"
        with world.changed(SIDEPOST_ADDRESS=away):
            refuse_visitor(world)
            said(f"sendmail: no sidecar at {away}")
    _, message, page = next_mail(world, lambda: contact(world, new_mark()))
    expect_equal(page.status, 200, "the visitor's page")
    check_content(message)


STORIES = [
    the_provider_is_down,
    the_login_is_refused,
    a_message_is_refused,
    sidepost_is_away,
    sidepost_is_silent,
    hostile_health,
    only_administrators,
    site_health,
]


def by_plugin(world, story):
    world.site.plugin(True)
    story(world)


def cases_of(world):
    for story in STORIES:
        yield f"plugin: {story.__name__.replace('_', ' ')}", lambda story=story: by_plugin(world, story)
    yield "shim: the shim says why", lambda: the_shim_says_why(world)

"""What WordPress sends, by the plugin and by the shim, and how it comes to the provider."""

import email
import email.policy
import itertools
import os
import re

from harness import expect, expect_equal, within
from shop import ADMIN, EMAIL, HOST, PASSWORD, PLUGIN

OCTETS = bytes(range(256)) * 200 + b"\r\n.\r\n\n.\n"
TEXT = ".\n.one dot\nFrom the start\nGrüße aus Köln, 世界\nlast"
_marks = itertools.count(1)


def new_mark():
    return f"form-{os.getpid()}-{next(_marks)}"


def next_mail(world, work):
    """What the provider takes while `work` is done, which is one message; with it, what `work` returns."""
    before = len(world.provider.taken)
    result = work()
    within(lambda: len(world.provider.taken) > before, "a message arrives")
    expect_equal(len(world.provider.taken), before + 1, "messages")
    taken = world.provider.taken[-1]
    return taken, email.message_from_bytes(taken.content, policy=email.policy.default), result


def no_mail(world, work):
    before = len(world.provider.taken)
    result = work()
    expect_equal(len(world.provider.taken), before, "messages")
    return result


def contact(world, mark, **fields):
    """A visitor fills in the contact form; the page that answers."""
    fields = {"action": "contact", "name": "Jörg Visitor", "email": "joerg@visitor.test", "mark": mark, **fields}
    fields = {"subject": "Grüße 世界", "text": TEXT, **fields}
    return world.site.browser().post("/wp-admin/admin-post.php", fields, ("file", "report 1.bin", OCTETS))


def sender_of(message):
    address = message["From"].addresses[0]
    return address.display_name, address.addr_spec


def the_installation(world):
    world.site.plugin(True)
    taken, message, _ = next_mail(world, world.site.install)
    expect_equal(taken.recipients, [EMAIL], "recipients")
    expect_equal(message["Subject"], "New WordPress Site", "the subject")


def a_forgotten_password(world):
    """Through the form of the login page, the mail's link and the new password, to the dashboard."""
    browser = world.site.browser()
    browser.get("/wp-login.php?action=lostpassword")
    ask = lambda: browser.post("/wp-login.php?action=lostpassword", {"user_login": ADMIN, "redirect_to": ""})
    taken, message, page = next_mail(world, ask)
    expect("Check your email" in page.words, page.words)
    expect_equal(taken.recipients, [EMAIL], "recipients")
    expect_equal(taken.sender, f"wordpress@{HOST}", "the envelope's sender")
    expect_equal(sender_of(message), ("WordPress", f"wordpress@{HOST}"), "the sender")
    expect_equal(message["Subject"], "[The Shop & Sons] Password Reset", "the subject")
    link = re.search(rf"http://{HOST}:\d+(/wp-login\.php\?action=rp\S+)", message.get_content())
    expect(link, message.get_content())
    page = browser.get(link[1])
    fields = {"pass1": PASSWORD, "pass2": PASSWORD, "rp_key": page.fields["rp_key"], "pw_weak": "on"}
    page = browser.post("/wp-login.php?action=resetpass", fields)
    expect("Your password has been reset" in page.words, page.words)
    world.site.admin()


def a_contact_form(world):
    """With an attachment, Cc, Bcc, and a visitor who is the sender."""
    mark = new_mark()
    taken, message, page = next_mail(world, lambda: contact(world, mark))
    expect_equal((page.status, "Thank you." in page.words), (200, True), "the visitor's page")
    expect_equal(message["X-Mark"], mark, "the mark")
    everybody = ["hidden@inbox.test", "owner@inbox.test", "second@inbox.test"]
    expect_equal(sorted(taken.recipients), everybody, "the envelope's recipients")
    expect(b"hidden@" not in taken.content and message["Bcc"] is None, taken.content[:2000])
    expect_equal(taken.sender, "joerg@visitor.test", "the envelope's sender")
    expect_equal(sender_of(message), ("Jörg Visitor", "joerg@visitor.test"), "the sender")
    check_content(message)


def check_content(message):
    expect_equal(message["Subject"].strip(), "Grüße 世界", "the subject")
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n")
    expect_equal(text, TEXT, "the text")
    found = [(part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()]
    expect_equal(found, [("report-1.bin", OCTETS)], "the attachment")


def a_sender_of_its_own(world):
    """The plugin's: who sent before gets the answers, unless somebody else was to."""
    with world.changed(WORDPRESS_SIDEPOST_FROM="shop@shop.test"):
        for fields, name, answers in [
            ({}, "Jörg Visitor", ["joerg@visitor.test"]),
            ({"reply_to": "desk@shop.test"}, "Jörg Visitor", ["desk@shop.test"]),
            # WordPress's own is nobody to answer.
            ({"default_sender": "1"}, "WordPress", []),
        ]:
            taken, message, _ = next_mail(world, lambda: contact(world, new_mark(), **fields))
            expect_equal(taken.sender, "shop@shop.test", "the envelope's sender")
            expect_equal(sender_of(message), (name, "shop@shop.test"), "the sender")
            reply_to = message["Reply-To"].addresses if message["Reply-To"] else []
            expect_equal([address.addr_spec for address in reply_to], answers, "who gets the answers")
            check_content(message)


def forced_by_sidepost(world):
    """The same without the plugin's setting, and for the shim too."""
    with world.sidepost.changed(FROM="shop@shop.test", FROM_MODE="force"):
        taken, message, _ = next_mail(world, lambda: contact(world, new_mark()))
    expect_equal(taken.sender, "shop@shop.test", "the envelope's sender")
    expect_equal(sender_of(message)[1], "shop@shop.test", "the sender")
    expect_equal([address.addr_spec for address in message["Reply-To"].addresses], ["joerg@visitor.test"], "answers")
    check_content(message)


def a_site_without_a_name(world):
    """WordPress would be wordpress@localhost, which PHPMailer refuses; the plugin takes the administrator's address."""
    with world.changed(SITE_HOME=f"http://localhost:{world.site.port}"):
        taken, message, _ = next_mail(world, lambda: contact(world, new_mark(), default_sender="1"))
    expect_equal((taken.sender, sender_of(message)[1]), (EMAIL, EMAIL), "the sender")


BOTH = [a_forgotten_password, a_contact_form, forced_by_sidepost]
BY_PLUGIN = [a_sender_of_its_own, a_site_without_a_name]


def by(world, story, plugin):
    world.site.plugin(plugin)
    story(world)
    # PHP puts this into what goes through its mail(), and so through the shim.
    expect_equal(b"X-PHP-Originating-Script" in world.provider.taken[-1].content, not plugin, "through mail()")


def cases_of(world):
    expect(PLUGIN.is_file(), f"no {PLUGIN}")
    for way, stories in ((True, BOTH + BY_PLUGIN), (False, BOTH)):
        for story in stories:
            name = f"{'plugin' if way else 'shim'}: {story.__name__.replace('_', ' ')}"
            yield name, lambda story=story, way=way: by(world, story, way)

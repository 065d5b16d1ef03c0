"""What every mail server goes through that hands its queue to Sidepost."""

import concurrent.futures
import email
import email.policy
import re
import time

from harness import Mail, compare, expect, expect_equal, full_mail, within
from stories import recipients_of


DOORS = ["starttls.test", "starttls-login.test", "smtps.test", "smtps-plain.test", "certified.test"]
DOORS += ["lmtp.test", "socket.test"]


def to(mail, domain, *others):
    """The same message, for a recipient of its own and perhaps others, through the door of that domain."""
    mail.recipients = [f"{local}@{domain}" for local in (*others, mail.mark)]
    return mail


def delivered(world, relay, mail, at=None):
    copy = world.arrived(mail, at=at)[0]
    compare(mail, copy if at is None else copy.content, exact=True)
    left(relay, mail)
    return copy


def left(relay, mail):
    """The relay is done with the message."""
    within(lambda: relay.waiting(mail) is None, f"the message leaves the queue; it says: {relay.log()[-1500:]}")


def is_notice(copy):
    return copy.startswith(b"Return-Path: <>\n")


def bounced(world, relay, mail, status, at=None):
    """It gave up at once and told the sender, with the provider's own status code."""
    left(relay, mail)
    notice = world.arrived(mail)[0]
    message = email.message_from_bytes(notice, policy=email.policy.default)
    expect(is_notice(notice), "not a notice")
    expect_equal(str(message["To"]), mail.sender, "whom the notice is for")
    # A report about an address beyond ASCII has a type that Python does not know.
    found = re.findall(rf"(?m)^{relay.status_field}: (.*(?:\n .*)*)", notice.decode())
    expect(found and all(status in value for value in found), f"{found} instead of {status}\n{relay.log()}")
    if at:
        world.nothing_arrives(mail, at)


def a_short_note(world, relay):
    mail = to(Mail(), "real.test")
    relay.submit([mail])
    delivered(world, relay, mail)


def everything_in_one_message(world, relay):
    mail = to(full_mail(), "real.test")
    relay.submit([mail])
    delivered(world, relay, mail)


def without_extensions(world, relay):
    """HELO knows no 8BITMIME, so an honest relay turns the text into 7 bits."""
    mail = to(full_mail(), "helo.test")
    relay.submit([mail])
    compare(mail, world.arrived(mail)[0], exact=False)
    left(relay, mail)


def one_command_at_a_time(world, relay):
    mail = to(full_mail(), "nopipe.test")
    relay.submit([mail])
    delivered(world, relay, mail)


def through_every_door(world, relay):
    """Under TLS and with a login, where the relay checks the certificate; LMTP over TCP and a unix socket."""
    mails = [to(full_mail(), domain) for domain in DOORS]
    relay.submit(mails)
    for mail in mails:
        delivered(world, relay, mail)


def forty_recipients(world, relay):
    mail = to(Mail(), "real.test", *[f"reader{number}" for number in range(39)])
    relay.submit([mail])
    copy = delivered(world, relay, mail)
    expect_equal(recipients_of(copy), sorted(mail.recipients), "recipients")


def more_recipients_than_may_be(world, relay):
    """Five go on, the others are put off by RCPT and go at the next try: everybody gets one copy."""
    mail = to(Mail(), "few.test", *[f"reader{number}" for number in range(11)])
    relay.submit([mail])

    def all_there():
        if len(world.rig.of(mail.mark)) < 3:
            relay.flush()
        return relay.waiting(mail) is None and len(world.rig.of(mail.mark)) >= 3

    within(all_there, "everybody has it")
    copies = world.arrived(mail, 3)
    expect_equal(sorted(sum(map(recipients_of, copies), [])), sorted(mail.recipients), "recipients")


def one_of_three_is_refused(world, relay):
    """Over SMTP it is all or nothing, and the notice says why."""
    mail = to(Mail(), "real.test", "p550", "third")
    relay.submit([mail])
    bounced(world, relay, mail, "5.1.1")


def one_of_three_is_refused_over_lmtp(world, relay):
    """The others have it, and the notice is about the one."""
    for domain in ("lmtp.test", "socket.test"):
        mail = to(Mail(), domain, "p550", "third")
        relay.submit([mail])
        left(relay, mail)
        notice, copy = sorted(world.arrived(mail, 2), key=lambda copy: not is_notice(copy))
        expect(is_notice(notice) and not is_notice(copy), "one message, one notice")
        expect_equal(recipients_of(copy), sorted(mail.recipients[1:]), "recipients")
        about = re.findall(rb"Final-Recipient: rfc822; *(\S+)", notice)
        expect_equal(about, [f"p550@{domain}".encode()], "whom the notice is about")
        compare(mail, copy, exact=True)


def one_of_three_is_put_off_over_lmtp(world, relay):
    """The others have it once, however often the one is tried."""
    mail = to(Mail(), "lmtp.test", "third")
    mail.recipients.append("t451@lmtp.test")
    relay.submit([mail])
    for _ in range(3):
        expect("4.7.1" in relay.put_off(mail), relay.waiting(mail))
        expect_equal(recipients_of(world.arrived(mail)[0]), sorted(mail.recipients[:2]), "recipients")
        relay.flush()


def an_address_beyond_ascii(world, relay):
    mail = to(Mail(), "real.test", "jürgen")
    relay.submit([mail])
    copy = delivered(world, relay, mail)
    expect_equal(recipients_of(copy), sorted(mail.recipients), "recipients")


def an_address_beyond_ascii_and_no_smtputf8(world, relay):
    mail = to(Mail(), "script.test", "jürgen")
    relay.submit([mail])
    bounced(world, relay, mail, "5.6.7", at=world.script)


def notices_are_asked_for(world, relay):
    """The provider will tell of success, so the relay need not."""
    mail = to(Mail(notices=True), "script.test")
    relay.submit([mail])
    taken = world.arrived(mail, at=world.script)[0]
    said = " ".join(taken.commands)
    expect("ENVID=QQ314159" in said and "NOTIFY=SUCCESS,FAILURE" in said and "ORCPT=rfc822;" in said, said)
    left(relay, mail)
    world.nothing_arrives(mail)


def in_chunks(world, relay):
    """CHUNKING, which Exim takes up wherever it is offered; K in its log says so."""
    mail = to(full_mail(), "real.test")
    relay.submit([mail])
    delivered(world, relay, mail)
    line = next(line for line in relay.log().splitlines() if f"=> {mail.recipients[0]} " in line)
    expect(" K C=" in line, line)


def one_of_three_is_put_off(world, relay):
    mail = to(Mail(), "real.test", "t451", "third")
    relay.submit([mail])
    expect("4.7.1" in relay.put_off(mail), relay.waiting(mail))
    world.nothing_arrives(mail)


def the_content_is_refused(world, relay):
    mail = to(Mail(), "script.test")
    with world.fault(final="554 5.6.0 Not with this content"):
        relay.submit([mail])
        left(relay, mail)
    bounced(world, relay, mail, "5.6.0", at=world.script)


def the_provider_is_down(world, relay):
    mail = to(full_mail(), "script.test")
    with world.provider_down():
        relay.submit([mail])
        expect("4.4.1" in relay.put_off(mail), relay.waiting(mail))
    relay.flush()
    delivered(world, relay, mail, at=world.script)


def the_login_is_refused_until_somebody_mends_it(world, relay):
    """Sidepost starts anew with the right password, and the mail that waited goes out."""
    mails = [to(Mail(), "locked.test") for _ in range(3)]
    relay.submit(mails)
    for mail in mails:
        expect("4.7.0" in relay.put_off(mail), relay.waiting(mail))
    with world.locked_out.changed(PASSWORD=world.rig.facts["PASSWORD"]):
        relay.flush()
        for mail in mails:
            delivered(world, relay, mail)


def nobody_knows(world, relay):
    """One more copy at most, and with the same Message-ID, so that it can be told from a new message."""
    mail = to(Mail(), "script.test")
    with world.fault(lose_after_content=True):
        relay.submit([mail])
        expect("4.4.2" in relay.put_off(mail), relay.waiting(mail))
        world.arrived(mail, at=world.script)
    world.forget(mail)
    relay.flush()
    left(relay, mail)
    copies = world.arrived(mail, 2, at=world.script)
    message_id = b"<%s@app.test>" % mail.mark.encode()
    expect(all(message_id in copy.content for copy in copies), "another Message-ID")


def too_large(world, relay):
    mail = to(Mail(attachments=[("large.bin", "application/octet-stream", bytes(1_100_000))]), "real.test")
    relay.submit([mail])
    bounced(world, relay, mail, "5.3.4")


def fifty_at_once(world, relay):
    mails = [to(Mail(text=f"number {number}\n"), "real.test") for number in range(50)]
    relay.submit(mails)
    for mail in mails:
        delivered(world, relay, mail)


def sidepost_ends_in_the_middle(world, relay):
    """SIGTERM and a new start while mail is flowing: nothing is lost, and nothing comes twice."""
    mails = [to(Mail(text=f"number {number}\n"), "restart.test") for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(relay.submit, mails)
        within(lambda: world.rig.of(mails[5].mark), "mail flows")
        world.restarted.restart()
        submitted.result()
    within(lambda: gone_after_a_flush(relay, mails), f"the queue is empty; it says: {relay.log()[-1500:]}")
    for mail in mails:
        world.arrived(mail)


def gone_after_a_flush(relay, mails):
    waiting = any(map(relay.waiting, mails))
    if waiting:
        relay.flush()
        time.sleep(0.5)
    return not waiting


STORIES_OF_POSTFIX = [an_address_beyond_ascii, an_address_beyond_ascii_and_no_smtputf8, notices_are_asked_for]
STORIES_OF_EXIM = [in_chunks]
STORIES = [
    a_short_note,
    everything_in_one_message,
    without_extensions,
    one_command_at_a_time,
    through_every_door,
    forty_recipients,
    more_recipients_than_may_be,
    one_of_three_is_refused,
    one_of_three_is_put_off,
    one_of_three_is_refused_over_lmtp,
    one_of_three_is_put_off_over_lmtp,
    the_content_is_refused,
    the_provider_is_down,
    the_login_is_refused_until_somebody_mends_it,
    nobody_knows,
    too_large,
    fifty_at_once,
    sidepost_ends_in_the_middle,
]


def cases_of(relay, world):
    for story in STORIES + (STORIES_OF_POSTFIX if relay.name == "Postfix" else STORIES_OF_EXIM):
        yield story.__name__.replace("_", " "), lambda story=story: story(world, relay)

"""What every client goes through, whoever wrote it. Each story is told of one client and one Sidepost."""

import dataclasses

from harness import Mail, compare, expect, expect_equal, full_mail


def answered(result, code, *words):
    expect(result.code == code, f"{result.code} instead of {code}:\n{result.dialogue}")
    for word in words:
        expect(word in result.dialogue, f"no {word!r} in:\n{result.dialogue}")


def put_off(result, *words):
    """The client was told to keep the mail, and by whom it was."""
    expect(400 <= result.code < 500, f"{result.code} instead of 4yz:\n{result.dialogue}")
    for word in words:
        expect(word in result.dialogue, f"no {word!r} in:\n{result.dialogue}")


def recipients_of(copy):
    """Of a message in the rig."""
    top = copy.partition(b"\n\n")[0].decode("utf-8", "replace").splitlines()
    return sorted(line.partition(": ")[2] for line in top if line.startswith("X-Rig-Recipient: "))


def a_short_note(world, client):
    mail = Mail()
    answered(client.send(world.real.door, mail), 250)
    compare(mail, world.arrived(mail)[0], client.exact)


def everything_in_one_message(world, client):
    mail = full_mail()
    answered(client.send(world.real.door, mail), 250)
    compare(mail, world.arrived(mail)[0], client.exact)


def twenty_recipients(world, client):
    mail = Mail(recipients=[f"reader{number}@inbox.test" for number in range(20)])
    answered(client.send(world.real.door, mail), 250)
    copy = world.arrived(mail)[0]
    expect_equal(recipients_of(copy), sorted(mail.recipients), "recipients")
    compare(mail, copy, client.exact)


def one_of_three_is_refused(world, client):
    mail = Mail(recipients=["first@inbox.test", "p550@inbox.test", "third@inbox.test"])
    answered(client.send(world.real.door, mail), 554, "5.1.1", "p***@inbox.test")
    world.nothing_arrives(mail)


def one_of_three_is_put_off(world, client):
    mail = Mail(recipients=["first@inbox.test", "t451@inbox.test", "third@inbox.test"])
    put_off(client.send(world.real.door, mail), "4.7.1")
    world.nothing_arrives(mail)


def the_content_is_refused(world, client):
    mail = Mail()
    with world.fault(final="554 5.6.0 Not with this content"):
        answered(client.send(world.scripted.door, mail), 554, "5.6.0")
    world.nothing_arrives(mail, at=world.script)


def the_provider_is_down(world, client):
    mail = full_mail()
    with world.provider_down():
        put_off(client.send(world.scripted.door, mail), "4.4.1")
    answered(client.send(world.scripted.door, mail), 250)
    compare(mail, world.arrived(mail, at=world.script)[0].content, client.exact)


def the_provider_is_busy(world, client):
    mail = Mail()
    with world.fault(final="451 4.3.2 Busy"):
        put_off(client.send(world.scripted.door, mail))
    answered(client.send(world.scripted.door, mail), 250)
    world.arrived(mail, at=world.script)


def the_login_is_refused(world, client):
    mail = Mail()
    put_off(client.send(world.locked_out.door, mail), "4.7.0")
    world.nothing_arrives(mail)


def nobody_knows(world, client):
    """The provider has it and its answer is lost: a client that is told so may send it again, we may not."""
    mail = Mail()
    with world.fault(lose_after_content=True):
        put_off(client.send(world.scripted.door, mail), "4.4.2")
    world.arrived(mail, at=world.script)


def too_large(world, client):
    mail = Mail(attachments=[("large.bin", "application/octet-stream", bytes(1_100_000))])
    result = client.send(world.real.door, mail)
    answered(result, 552)
    world.nothing_arrives(mail)


def an_address_beyond_ascii(world, client):
    mail = Mail(recipients=["jürgen@bücher.test"])
    answered(client.send(world.real.door, mail), 250)
    found = recipients_of(world.arrived(mail)[0])
    expect(found in (["jürgen@bücher.test"], ["jürgen@xn--bcher-kva.test"]), found)


def an_address_beyond_ascii_and_no_smtputf8(world, client):
    mail = Mail(recipients=["jürgen@bücher.test"])
    answered(client.send(world.scripted.door, mail), 550, "5.6.7")
    world.nothing_arrives(mail, at=world.script)


def notices_are_asked_for(world, client):
    mail = Mail(notices=True)
    answered(client.send(world.scripted.door, mail), 250)
    taken = world.arrived(mail, at=world.script)[0]
    wishes = {word.upper() for word in " ".join(taken.commands).split() if word.upper().startswith("NOTIFY=")}
    expect(wishes in ({"NOTIFY=SUCCESS,FAILURE"}, {"NOTIFY=FAILURE,SUCCESS"}), taken.commands)


def lmtp(world, client):
    mail = full_mail()
    answered(client.send(world.real.lmtp(), mail), 250)
    compare(mail, world.arrived(mail)[0], client.exact)


def one_of_three_is_refused_over_lmtp(world, client):
    """The others have it."""
    mail = Mail(recipients=["first@inbox.test", "p550@inbox.test", "third@inbox.test"])
    result = client.send(world.real.lmtp(), mail)
    expect("5.1.1" in result.dialogue, result.dialogue)
    expect_equal(recipients_of(world.arrived(mail)[0]), ["first@inbox.test", "third@inbox.test"], "recipients")


def many_over_one_connection(world, client):
    mails = [Mail(text=f"number {number}\n") for number in range(40)]
    for result in client.send_many(world.real.door, mails):
        answered(result, 250)
    for mail in mails:
        compare(mail, world.arrived(mail)[0], client.exact)


def good_and_bad_over_one_connection(world, client):
    """A refused message does not spoil the connection for the next."""
    refused = [Mail(recipients=["p550@inbox.test"]) for _ in range(3)]
    good = [Mail() for _ in range(3)]
    mixed = [mail for pair in zip(refused, good) for mail in pair]
    for mail, result in zip(mixed, client.send_many(world.real.door, mixed)):
        answered(result, 250 if mail in good else 554)
    for mail in good:
        world.arrived(mail)
    for mail in refused:
        world.nothing_arrives(mail)


STORIES = [
    a_short_note,
    everything_in_one_message,
    twenty_recipients,
    one_of_three_is_refused,
    one_of_three_is_put_off,
    the_content_is_refused,
    the_provider_is_down,
    the_provider_is_busy,
    the_login_is_refused,
    nobody_knows,
    too_large,
]
STORIES_OF_SOME = {
    "utf8": [an_address_beyond_ascii, an_address_beyond_ascii_and_no_smtputf8],
    "notices": [notices_are_asked_for],
    "lmtp": [lmtp],
    "lmtp for many": [lmtp, one_of_three_is_refused_over_lmtp],
}
STORIES_OF_ONE_CONNECTION = [many_over_one_connection, good_and_bad_over_one_connection]


def through(world, client, door):
    mail = full_mail()
    answered(client.send(door, mail), 250)
    compare(mail, world.arrived(mail)[0], client.exact)


def with_a_wrong_password(world, client, door):
    mail = Mail()
    answered(client.send(dataclasses.replace(door, password="wrong"), mail), 535)
    world.nothing_arrives(mail)


def without_a_login(world, client, door):
    mail = Mail()
    answered(client.send(dataclasses.replace(door, login="none"), mail), 530)
    world.nothing_arrives(mail)


def with_an_unknown_certificate(world, client, door):
    """The client is right not to go on."""
    mail = Mail()
    result = client.send(dataclasses.replace(door, ca_file=world.rig.facts["UNKNOWN_CA_FILE"]), mail)
    expect(result.code != 250, result.dialogue)
    world.nothing_arrives(mail)


def starttls_taken_up_by_itself(world, client):
    """As PHPMailer and Nodemailer do it unless they are told not to: it works where they trust the certificate."""
    mail = Mail()
    door = dataclasses.replace(world.secure.by("starttls"), tls="none", upgrade=True)
    answered(client.send(door, mail), 250)
    expect(b"with ESMTPS" in world.arrived(mail)[0], "no TLS in the Received line")


def with_a_certificate_of_its_own(world, client):
    for tls in ("starttls", "implicit"):
        mail = Mail()
        answered(client.send(world.certified_door(tls), mail), 250)
        compare(mail, world.arrived(mail)[0], client.exact)


def without_a_certificate_of_its_own(world, client):
    mail = Mail()
    answered(client.send(world.certified.by("starttls"), mail), 530)
    world.nothing_arrives(mail)


def cases_of_doors(client, world):
    # Django with one of its own trusts no authority at all.
    own = [] if "no certificate" in client.skills else [with_a_certificate_of_its_own]
    for story in (*own, without_a_certificate_of_its_own):
        yield story.__name__.replace("_", " "), lambda story=story: story(world, client)
    if "upgrades" in client.skills:
        yield "STARTTLS taken up by itself", lambda: starttls_taken_up_by_itself(world, client)
    for door in world.doors():
        yield f"everything {door}", lambda door=door: through(world, client, door)
        if door.tls == "starttls" and door.login != "none":
            yield f"a wrong password {door}", lambda door=door: with_a_wrong_password(world, client, door)
        if door.login == "PLAIN":
            yield f"no login {door}", lambda door=door: without_a_login(world, client, door)
        if door.login == "none":
            yield f"an unknown certificate {door}", lambda door=door: with_an_unknown_certificate(world, client, door)


def cases_of(client, world):
    """Names and what to do, for one client."""
    stories = STORIES + (STORIES_OF_ONE_CONNECTION if hasattr(client, "send_many") else [])
    stories += [story for skill in client.skills for story in STORIES_OF_SOME.get(skill, [])]
    for story in stories:
        yield story.__name__.replace("_", " "), lambda story=story: story(world, client)
    yield from cases_of_doors(client, world)

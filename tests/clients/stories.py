"""What every client goes through, whoever wrote it. Each story is told of one client and one Sidepost."""

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
STORIES_OF_ONE_CONNECTION = [many_over_one_connection, good_and_bad_over_one_connection]


def cases_of(client, world):
    """Names and what to do, for one client."""
    stories = STORIES + (STORIES_OF_ONE_CONNECTION if hasattr(client, "send_many") else [])
    for story in stories:
        yield story.__name__.replace("_", " "), lambda story=story: story(world, client)

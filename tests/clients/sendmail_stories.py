"""What every program that calls `sendmail` goes through: envelope and content as they came to the provider."""

from harness import Mail, compare, expect, expect_equal, full_mail
from sendmail import callers

HIDDEN = ["hidden@inbox.test", "unseen@inbox.test"]
DOTS = ".\n..\n.one dot\nFrom the start\n.\n"
TEXT = "Grüße aus Köln, 世界\na blank at the end \n\ttab\nQUIT\nlast\n"


def story_mail(caller, **fields):
    dots = DOTS if caller.dots else ""
    if caller.everything:
        fields["recipients"] = ["first@inbox.test", "second@inbox.test"] if not caller.exact else ["first@inbox.test"]
        mail = full_mail(**fields)
        if not caller.dots:
            mail.text, mail.html = TEXT, mail.html.replace("\n.\n", "\n")
        return mail
    return Mail(text=dots + TEXT, **fields)


def taken(result):
    expect(result.code == 250, f"not taken:\n{result.dialogue}")


def not_taken(result, *words):
    expect(result.code != 250, f"taken:\n{result.dialogue}")
    for word in words:
        expect(word in result.dialogue, f"no {word!r} in:\n{result.dialogue}")


def everything_it_can_write(world, caller):
    mail = story_mail(caller, hidden=HIDDEN)
    taken(caller.send(world.scripted.door, mail))
    arrived = world.arrived(mail, at=world.script)[0]
    expect_equal(arrived.sender, mail.sender, "the envelope's sender")
    expect_equal(sorted(arrived.recipients), sorted(mail.recipients + HIDDEN), "the envelope's recipients")
    for trace in (b"bcc:", b"hidden@", b"unseen@"):
        expect(trace not in arrived.content.lower(), f"{trace} in {arrived.content[:2000]}")
    expect(b"\n" not in arrived.content.replace(b"\r\n", b""), "a bare line feed")
    compare(mail, arrived.content, caller.exact)


def through_a_socket(world, caller):
    mail = Mail()
    taken(caller.send(world.scripted_socket(), mail))
    compare(mail, world.arrived(mail, at=world.script)[0].content, caller.exact)


def a_recipient_is_refused(world, caller):
    mail = Mail(recipients=["p550@inbox.test"])
    not_taken(caller.send(world.real.door, mail), *caller.told("65", "554 5.1.1"))
    world.nothing_arrives(mail)


def the_login_is_refused(world, caller):
    mail = Mail()
    not_taken(caller.send(world.locked_out.door, mail), *caller.told("75", "451 4.7.0"))
    world.nothing_arrives(mail)


def the_provider_is_down(world, caller):
    mail = Mail()
    with world.provider_down():
        not_taken(caller.send(world.scripted.door, mail), *caller.told("75", "451 4.4.1"))
    taken(caller.send(world.scripted.door, mail))
    compare(mail, world.arrived(mail, at=world.script)[0].content, caller.exact)


def the_sidecar_is_away(world, caller):
    mail = Mail()
    with world.nobody() as door:
        not_taken(caller.send(door, mail), *caller.told("75", "no sidecar at 127.0.0.1:"))
    world.nothing_arrives(mail, at=world.script)


STORIES = [
    everything_it_can_write,
    through_a_socket,
    a_recipient_is_refused,
    the_login_is_refused,
    the_provider_is_down,
    the_sidecar_is_away,
]


def cases_of(world):
    for caller in callers(world):
        for story in STORIES:
            name = f"{caller.name}: {story.__name__.replace('_', ' ')}"
            yield name, lambda story=story, caller=caller: story(world, caller)

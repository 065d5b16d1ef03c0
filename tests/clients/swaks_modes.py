"""swaks in its other modes: of TLS, of AUTH, of the protocol."""

from harness import Mail, compare, expect
from programs import Swaks
from stories import answered
from world import PASSWORD, USER

TRUST = ["--tls-verify", "--tls-ca-path", "@CA@"]
OLD = ["--tls-protocol", "tlsv1_2"]
LOGIN = ["--auth-user", USER, "--auth-password", PASSWORD]

# Name, Sidepost, options, the reply to the message (0 where swaks gives up before it), what must be in the dialogue.
MODES = [
    ("one flight", "real", ["--pipeline"], 250, "PIPELINING"),
    ("HELO", "real", ["--protocol", "SMTP"], 250, "HELO client.test"),
    ("TLS if offered, and it is not", "real", ["--tls-optional"], 250, "ESMTP"),
    ("TLS required, and it is not offered", "real", ["--tls"], 0, "did not advertise STARTTLS"),
    ("a login where none is needed", "real", ["--auth", *LOGIN], 0, "did not advertise authentication"),
    ("a login if offered, and it is not", "real", ["--auth-optional", *LOGIN], 250, "ESMTP"),
    ("TLS if offered", "secure", ["--tls-optional", *TRUST], 250, "TLS started"),
    ("TLS if offered, and then it has to work", "secure", ["--tls-optional-strict", *TRUST], 250, "TLS started"),
    ("TLS 1.2", "secure", ["--tls", *OLD, *TRUST], 250, "TLSv1.2:ECDHE"),
    ("TLS 1.3", "secure", ["--tls", "--tls-protocol", "tlsv1_3", *TRUST], 250, "TLSv1.3:TLS_AES"),
    ("TLS 1.1", "secure", ["--tls", "--tls-protocol", "tlsv1_1", *TRUST], 0, "TLS startup failed"),
    ("no forward secrecy", "secure", ["--tls", "--tls-cipher", "AES128-GCM-SHA256", *OLD], 0, "TLS startup failed"),
    ("the protocol ESMTPSA", "guarded", ["--protocol", "ESMTPSA", *TRUST, *LOGIN], 250, "AUTH"),
    ("any mechanism", "guarded", ["--auth", *LOGIN], 250, "235 2.7.0"),
    ("only CRAM-MD5", "guarded", ["--auth", "CRAM-MD5", *LOGIN], 0, "Auth not attempted"),
    ("CRAM-MD5 if offered", "guarded", ["--auth-optional", "CRAM-MD5", *LOGIN], 530, "530 5.7.0"),
    ("TLS, then any mechanism", "guarded", ["--tls", *TRUST, "--auth", *LOGIN], 250, "235 2.7.0"),
]


def mode(world, name, options, code, words):
    mail = Mail()
    options = [world.rig.facts["CA_FILE"] if option == "@CA@" else option for option in options]
    door = getattr(world, name).door
    result = Swaks(world, *options).send(door, mail)
    if code == 0:
        expect("-> MAIL FROM" not in result.dialogue and "~> MAIL FROM" not in result.dialogue, result.dialogue)
        world.nothing_arrives(mail)
    else:
        answered(result, code)
        if code == 250:
            compare(mail, world.arrived(mail)[0], exact=True)
    expect(words in result.dialogue, f"no {words!r} in:\n{result.dialogue}")


def cases_of(world):
    for name, sidepost, options, code, words in MODES:
        yield name, lambda row=(sidepost, options, code, words): mode(world, *row)

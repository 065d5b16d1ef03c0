"""Sends odd messages through a rig and compares what arrived, octet by octet.

usage: wire.py DIR/rig.json; one line "ok NAME" or "not ok NAME: WHY" for each check.
"""

import binascii
import json
import os
import pathlib
import re
import smtplib
import socket
import ssl
import sys
import time

facts = json.load(open(sys.argv[1], encoding="utf-8"))
new = pathlib.Path(facts["MAILDIR"], "new")
WAIT = 10


class Wrong(Exception):
    pass


def expect(condition, why):
    if not condition:
        raise Wrong(why)


def trusting(file):
    return ssl.create_default_context(cafile=file)


def connect(way, password=facts["PASSWORD"]):
    """A session, past TLS and the login, if any; `way` is starttls, tls or plain."""
    if way == "tls":
        smtp = smtplib.SMTP_SSL(
            "localhost", facts["TLS_PORT"], timeout=WAIT, context=trusting(facts["CA_FILE"])
        )
    else:
        port = facts["STARTTLS_PORT" if way == "starttls" else "PLAIN_PORT"]
        smtp = smtplib.SMTP("localhost", port, timeout=WAIT)
    if way == "starttls":
        smtp.starttls(context=trusting(facts["CA_FILE"]))
    smtp.ehlo()
    if way != "plain" and password:
        smtp.login(facts["USERNAME"], password)
    return smtp


def arrived(reply):
    """The file of the message that `reply` took, and how long after that it was there."""
    # The count stands there only after BDAT.
    found = re.fullmatch(rb"2\.0\.0 Ok: (?:\d+ bytes )?queued as (\w+)", reply)
    expect(found, f"not the usual reply: {reply!r}")
    mark = b"id " + found[1]
    start = time.monotonic()
    while time.monotonic() < start + WAIT:
        for file in new.iterdir():
            with open(file, "rb") as content:
                if mark in content.read(4096):
                    return file, time.monotonic() - start
        time.sleep(0.002)
    raise Wrong(f"{found[1].decode()} did not arrive")


def added_and_rest(file, sent):
    """What was put on top, and what came after it, which has to be `sent`."""
    stored = file.read_bytes()
    wanted = sent.replace(b"\r\n", b"\n")
    expect(stored.endswith(wanted), f"{len(sent)} octets sent are not the end of {file}")
    added = stored[: len(stored) - len(wanted)]
    for line in added.splitlines():
        known = line.startswith((b"Return-Path:", b"Delivered-To:", b"X-Rig-Recipient:", b"Received:"))
        expect(known or line[:1] in b"\t ", f"an unexpected line on top: {line!r}")
    return added


def hand_over(smtp, content, recipients=("someone@inbox.test",), options=("BODY=8BITMIME",), chunked=False):
    smtp.mail("sender@app.test", list(options))
    for recipient in recipients:
        code, reply = smtp.rcpt(recipient)
        expect(code == 250, f"RCPT: {code} {reply!r}")
    if chunked:
        smtp.send(b"BDAT %d LAST\r\n" % len(content) + content)
        code, reply = smtp.getreply()
    else:
        code, reply = smtp.data(content)
    expect(code == 250, f"{code} {reply!r}")
    return arrived(reply)


HEAD = (
    b"From: Sender <sender@app.test>\r\nTo: someone@inbox.test\r\nBcc: hidden@inbox.test\r\n"
    b"Subject: a folded\r\n\tone\r\nreply-TO:   odd@app.test \r\nReturn-Path: <odd@app.test>\r\n"
    b"Content-Length: 7\r\n\r\n"
)
BODIES = {
    "plain text": HEAD + b"hello\r\n",
    "empty body": HEAD,
    "headers only": HEAD[:-2],
    "no header": b"just text: yes\r\nmore\r\n",
    "UTF-8": HEAD + "Grüße, 世界 \U0001f600\r\n".encode(),
    "UTF-8 in a header": "Subject: Grüße\r\n\r\nx\r\n".encode(),
    "every octet of 8 bits": HEAD + bytes(b for b in range(1, 256) if b not in b"\r\n") + b"\r\n",
    "dots at line starts": HEAD + b".\r\n..\r\n.a\r\n\r\n.\r\n...\r\n.",
    "lines of 5,000 octets": HEAD + (b"x" * 5000 + b"\r\n" + b"." * 5000 + b"\r\n") * 20,
    "a header of 50,000 octets": b"X-Long: " + b"y" * 50000 + b"\r\n" + HEAD + b"z\r\n",
    "blank lines and spaces at the ends": HEAD + b"\r\n\r\n a \t \r\n\r\n\r\n",
    "a From line": HEAD + b"From here on\r\n>From\r\n",
    "a lone CR": HEAD + b"a\rb\r\n",
    "10 MB": HEAD + (os.urandom(3000).hex().encode() + b"\r\n") * 1748,
}


def check_bodies(way, chunked):
    smtp = connect(way)
    for name, content in BODIES.items():
        sent = content if content.endswith(b"\r\n") else content + b"\r\n"
        file, _ = hand_over(smtp, sent, chunked=chunked)
        if name == "no header":
            # Postfix ends the headers that it put on top itself.
            sent = b"\r\n" + sent if not re.match(rb"[!-9;-~]+:", sent) else sent
        try:
            added_and_rest(file, sent)
        except Wrong as wrong:
            raise Wrong(f"{name}: {wrong}") from wrong
    smtp.quit()


def check_one_file():
    before = len(list(new.iterdir()))
    smtp = connect("starttls")
    recipients = [f"r{number}@inbox{number % 7}.test" for number in range(50)]
    file, _ = hand_over(smtp, HEAD + b"to fifty\r\n", recipients)
    added = added_and_rest(file, HEAD + b"to fifty\r\n").decode()
    expect(re.findall(r"X-Rig-Recipient: (.*)", added) == recipients, added)
    time.sleep(0.2)
    expect(len(list(new.iterdir())) == before + 1, "more than one file")
    smtp.quit()


def check_smtputf8():
    smtp = connect("tls")
    smtp.command_encoding = "utf-8"
    file, _ = hand_over(smtp, HEAD + b"u\r\n", ("übung@bücher.test",), ("SMTPUTF8", "BODY=8BITMIME"))
    expect("übung@bücher.test".encode() in added_and_rest(file, HEAD + b"u\r\n"), "the recipient is lost")
    smtp.quit()


def check_notices():
    before = len(list(new.iterdir()))
    smtp = connect("plain")
    smtp.mail("sender@app.test", ["RET=HDRS", "ENVID=QQ314159"])
    smtp.docmd("RCPT TO:<someone@inbox.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;someone@inbox.test")
    code, reply = smtp.data(HEAD)
    expect(code == 250, f"{code} {reply!r}")
    arrived(reply)
    time.sleep(0.3)
    expect(len(list(new.iterdir())) == before + 1, "the notice stands in the Maildir")
    smtp.quit()


def check_refusals():
    smtp = connect("starttls")
    replies = {
        "MAIL": smtp.mail("denied@app.test"),
        "MAIL again": smtp.mail("sender@app.test"),
        "p550": smtp.rcpt("p550@inbox.test"),
        "t451": smtp.rcpt("t451@inbox.test"),
        "good": smtp.rcpt("someone@inbox.test"),
        "content": smtp.data(b"X-Rig: refuse\r\n" + HEAD),
    }
    expect(
        replies
        == {
            "MAIL": (
                553,
                b"5.7.1 <denied@app.test>: Sender address rejected: Not allowed to send as this address",
            ),
            "MAIL again": (250, b"2.1.0 Ok"),
            "p550": (550, b"5.1.1 <p550@inbox.test>: Recipient address rejected: User unknown"),
            "t451": (
                451,
                b"4.7.1 <t451@inbox.test>: Recipient address rejected: Greylisted, try again later",
            ),
            "good": (250, b"2.1.5 Ok"),
            "content": (550, b"5.7.1 Refused for its content"),
        },
        replies,
    )
    hand_over(smtp, HEAD + b"the session goes on\r\n")
    smtp.quit()


def check_doors():
    smtp = smtplib.SMTP("localhost", facts["STARTTLS_PORT"], timeout=WAIT)
    smtp.ehlo()
    expect(not smtp.has_extn("auth"), "AUTH is offered before TLS")
    for command in ("AUTH PLAIN AGEAYg==", "MAIL FROM:<sender@app.test>"):
        reply = smtp.docmd(command)
        expect(reply == (530, b"5.7.0 Must issue a STARTTLS command first"), reply)
    smtp.starttls(context=trusting(facts["CA_FILE"]))
    smtp.ehlo()
    smtp.mail("sender@app.test")
    reply = smtp.rcpt("someone@inbox.test")
    expect(reply == (554, b"5.7.1 <someone@inbox.test>: Recipient address rejected: Access denied"), reply)
    smtp.quit()
    smtp = connect("plain")
    expect(not smtp.has_extn("auth") and not smtp.has_extn("starttls"), smtp.esmtp_features)
    reply = smtp.mail("sender@app.test", ["SIZE=60000000"])
    expect(reply == (552, b"5.3.4 Message size exceeds fixed limit"), reply)
    smtp.quit()


def check_bare_newline():
    for end in (b"\n.\r\n", b"\n.\n", b"\r\n.\n"):
        smtp = connect("starttls")
        smtp.mail("sender@app.test")
        smtp.rcpt("someone@inbox.test")
        smtp.docmd("DATA")
        smtp.send(HEAD + b"a bare LF" + end + b"\r\n.\r\n")
        reply = smtp.getreply()
        expect(reply[0] == 550 and reply[1] == b"5.5.2 localhost Error: bare <LF> received", reply)
        smtp.close()


def login(way, mechanism, username, octets):
    """The last reply of a login; smtplib's own knows only ASCII and tries one mechanism after another."""
    smtp = connect(way, None)
    if mechanism == "PLAIN":
        reply = smtp.docmd("AUTH PLAIN " + base64(b"\0" + username.encode() + b"\0" + octets))
    else:
        smtp.docmd("AUTH LOGIN")
        smtp.docmd(base64(username.encode()))
        reply = smtp.docmd(base64(octets))
    smtp.quit()
    return reply


def base64(octets):
    return binascii.b2a_base64(octets, newline=False).decode()


def check_wrong_passwords():
    started = time.monotonic()
    for number in range(40):
        way, mechanism = ("starttls", "tls")[number % 2], ("PLAIN", "LOGIN")[number // 2 % 2]
        username = (facts["USERNAME"], "stranger@rig.test")[number // 4 % 2]
        reply = login(way, mechanism, username, b"wrong")
        expect(reply == (535, b"5.7.8 Error: authentication failed: (reason unavailable)"), reply)
    took = time.monotonic() - started
    expect(took < 8, f"{took:.1f} s")
    connect("starttls").quit()
    return f"{took:.1f} s"


def check_odd_password():
    secret = pathlib.Path(facts["ODD_PASSWORD_FILE"]).read_bytes()
    for mechanism in ("PLAIN", "LOGIN"):
        reply = login("tls", mechanism, facts["ODD_USERNAME"], secret)
        expect(reply == (235, b"2.7.0 Authentication successful"), reply)


def check_one_flight():
    smtp = connect("plain")
    content = HEAD + b"one flight\r\n"
    for _ in range(3):
        smtp.send(
            b"MAIL FROM:<sender@app.test>\r\nRCPT TO:<p550@inbox.test>\r\nRCPT TO:<someone@inbox.test>\r\n"
            b"BDAT %d LAST\r\n" % len(content) + content
        )
        codes = [smtp.getreply() for _ in range(4)]
        expect([code for code, _ in codes] == [250, 550, 250, 250], codes)
        added_and_rest(arrived(codes[-1][1])[0], content)
        smtp.send(b"MAIL FROM:<sender@app.test>\r\nRCPT TO:<someone@inbox.test>\r\nDATA\r\n")
        codes = [smtp.getreply() for _ in range(3)]
        expect([code for code, _ in codes] == [250, 250, 354], codes)
        smtp.send(content + b".\r\n")
        added_and_rest(arrived(smtp.getreply()[1])[0], content)
    smtp.quit()


def check_speed():
    smtp = connect("starttls")
    took = sorted(hand_over(smtp, HEAD + b"fast\r\n")[1] for _ in range(20))
    smtp.quit()
    # The bound is for busy machines; the middle one says how it is.
    expect(took[10] < 0.1 and took[-1] < 2, f"{took[10] * 1000:.0f} ms, at most {took[-1] * 1000:.0f}")
    return f"{took[10] * 1000:.0f} ms, at most {took[-1] * 1000:.0f}"


def presents(certificate, key, ca):
    """What a client that trusts `ca` says of a server with this certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    near = trusting(ca).wrap_bio(client_in, client_out, server_hostname="localhost")
    far = server.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(5):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            server_in.write(client_out.read())
            client_in.write(server_out.read())
    return "trusted"


def check_certificates():
    ca = facts["CA_FILE"]
    said = {
        name: presents(facts[name + "_CERT"], facts[name + "_KEY"], ca)
        for name in ("SERVER", "EXPIRED", "WRONG_HOST", "UNKNOWN")
    }
    expect(said["SERVER"] == "trusted", said)
    expect(said["EXPIRED"] == "certificate has expired", said)
    expect("Hostname mismatch" in said["WRONG_HOST"], said)
    expect(said["UNKNOWN"] == "unable to get local issuer certificate", said)
    said = presents(facts["UNKNOWN_CERT"], facts["UNKNOWN_KEY"], facts["UNKNOWN_CA_FILE"])
    expect(said == "trusted", said)


def check_loopback_only():
    for name in ("STARTTLS_PORT", "TLS_PORT", "PLAIN_PORT"):
        with socket.create_connection(("127.0.0.1", facts[name]), WAIT):
            pass
        with socket.socket() as other:
            other.settimeout(1)
            expect(other.connect_ex(("127.0.0.2", facts[name])) != 0, f"{name} is open elsewhere too")


CHECKS = {
    "bodies over STARTTLS, DATA": lambda: check_bodies("starttls", False),
    "bodies over TLS, BDAT": lambda: check_bodies("tls", True),
    "bodies over plain, DATA": lambda: check_bodies("plain", False),
    "fifty recipients, one file": check_one_file,
    "SMTPUTF8": check_smtputf8,
    "notices are not delivered": check_notices,
    "refusals by address and content": check_refusals,
    "TLS and login are required": check_doors,
    "bare newlines are refused": check_bare_newline,
    "forty wrong passwords": check_wrong_passwords,
    "a password full of odd characters": check_odd_password,
    "MAIL, RCPT and BDAT or DATA in one flight": check_one_flight,
    "250 to file": check_speed,
    "certificates": check_certificates,
    "127.0.0.1 only": check_loopback_only,
}


def main():
    for name, check in CHECKS.items():
        try:
            note = check()
            print(f"ok {name}" + (f" ({note})" if note else ""), flush=True)
        except (Wrong, OSError, smtplib.SMTPException, ssl.SSLError) as error:
            print(f"not ok {name}: {error}", flush=True)


main()

"""One line per DKIM signature of the message on standard input; see dkim-verify.sh."""

import sys

import dkim

records = dict(line.rstrip("\n").split("\t", 1) for line in open(sys.argv[1], encoding="ascii"))


def lookup(name, timeout=5):
    return records[name.decode().rstrip(".")].encode()


message = sys.stdin.buffer.read()
count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
for index in range(count):
    verifier = dkim.DKIM(message)
    try:
        passed = verifier.verify(idx=index, dnsfunc=lookup)
    except dkim.DKIMException as why:
        print(why, file=sys.stderr)
        passed = False
    fields = verifier.signature_fields
    print(fields[b"a"].decode(), fields[b"s"].decode(), "pass" if passed else "fail")

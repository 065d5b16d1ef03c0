"""What schemathesis has to be told about our media types and formats."""

import schemathesis
from hypothesis import strategies


@schemathesis.serializer("message/rfc822")
def message(_context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


# Texts with an @ in them are rarely addresses; without this, hardly a message would get past the envelope.
LOCALS = strategies.sampled_from(["ann", "a.b+tag", "o'neil", '"a b"', "j\u00f6rg", "x" * 64])
DOMAINS = strategies.sampled_from(["example.com", "b\u00fccher.example", "a.b.c.example", "localhost"])
ADDRESSES = strategies.builds("{}@{}".format, LOCALS, DOMAINS)
schemathesis.openapi.format("idn-email", ADDRESSES | strategies.emails())

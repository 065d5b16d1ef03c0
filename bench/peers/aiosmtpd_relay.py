"""SMTP in, SMTP out, the answer awaited, with the two libraries that are used for it: aiosmtpd_relay.py PORT PROVIDER."""

import asyncio
import sys

import aiosmtplib
from aiosmtpd.smtp import SMTP


class Relay:
    def __init__(self, provider):
        self.provider = provider

    async def handle_DATA(self, server, session, envelope):
        try:
            await aiosmtplib.send(
                envelope.original_content,
                sender=envelope.mail_from,
                recipients=envelope.rcpt_tos,
                hostname="127.0.0.1",
                port=self.provider,
                start_tls=False,
            )
        except aiosmtplib.SMTPException as error:
            return f"451 {error}".replace("\n", " ")
        return "250 OK"


async def main(port, provider):
    loop = asyncio.get_running_loop()
    relay = Relay(provider)
    server = await loop.create_server(lambda: SMTP(relay, hostname="relay.test", loop=loop), "127.0.0.1", port, backlog=4000)
    await server.serve_forever()


asyncio.run(main(*map(int, sys.argv[1:])))

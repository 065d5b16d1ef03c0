"""Two sidecars, their applications, and a provider that has a bad time. Prints when it began and when it ended.

The parts, each as long as the third argument says: well, slow, the password refused, well, the port closed, doubtful
recipients and a token endpoint that refuses, well.
"""

import asyncio
import json
import pathlib
import random
import re
import ssl
import subprocess
import sys
import time
import urllib.request

SMTP_PORT, TOKEN_PORT = 10465, 10443
SIDECARS = {"shop": (18026, 19026), "newsletter": (18027, 19027)}
PARTS = ["well", "slow", "refused login", "well", "closed port", "doubtful", "well"]
part = "well"


def certificate(folder):
    """One that ends in 60 days, and the root to trust."""
    openssl = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    openssl("req", "-x509", *key, "-subj", "/CN=root", "-keyout", "root.key", "-out", "root.crt")
    openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.csr")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial",
            "-days", "60", "-extfile", "names", "-out", "tls.crt")  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context, folder / "root.crt"


async def provider(reader, writer):
    """SMTP as a provider speaks it, in the mood of the part."""
    connections.add(writer)

    async def say(text):
        writer.write(text.encode() + b"\r\n")
        await writer.drain()

    try:
        await say("220 localhost ESMTP")
        while line := (await reader.readline()).decode(errors="replace").strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                await say("250-localhost\r\n250-PIPELINING\r\n250-AUTH PLAIN XOAUTH2\r\n250 ENHANCEDSTATUSCODES")
            elif verb == "AUTH":
                refuse = part == "refused login" and "PLAIN" in line
                await say("535 5.7.8 Username and Password not accepted" if refuse else "235 2.7.0 Accepted")
                if refuse:
                    return
            elif verb == "RCPT" and part == "doubtful" and random.random() < 0.3:
                await say(random.choice(["550 5.1.1 No such user", "451 4.7.1 Try again later"]))
            elif verb == "DATA":
                await say("354 Go ahead")
                while (await reader.readline()) not in (b".\r\n", b""):
                    pass
                await asyncio.sleep(random.expovariate(1.5 if part == "slow" else 40))
                await say("250 2.0.0 OK 1")
            else:
                await say("221 2.0.0 Bye" if verb == "QUIT" else "250 2.1.0 OK")
            if part == "refused login" and verb == "DATA":
                return
    except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
        pass
    finally:
        connections.discard(writer)
        writer.close()


async def issuer(reader, writer):
    """A token endpoint, whose tokens last a minute and a half."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    await reader.readexactly(int(re.search(r"(?i)content-length: (\d+)", head)[1]))
    good = part != "doubtful"
    answer = {"access_token": "ya29.token", "token_type": "Bearer", "expires_in": 90} if good else {"error": "invalid_grant"}
    body = json.dumps(answer)
    status = "200 OK" if good else "400 Bad Request"
    writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


def sidecar(binary, name, roots):
    http, admin = SIDECARS[name]
    env = {
        "HTTP_LISTEN": f"127.0.0.1:{http}", "SMTP_LISTEN": "off", "ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "PROVIDER": "smtp", "HOST": "localhost", "PORT": str(SMTP_PORT), "TLS": "implicit", "CA_FILE": str(roots),
        "USERNAME": "shop@example.com", "FROM": "shop@example.com", "CONTROL_HOSTS": "off", "PROBE_INTERVAL": "5s",
        "SEND_TIMEOUT": "4s", "CONNECTION_MESSAGES": "25", "ALLOWED_RECIPIENTS": "example.org",
    }  # fmt: skip
    if name == "shop":
        env["PASSWORD"] = "secret"
    else:
        env |= {"PROVIDER": "gmail", "OAUTH_CLIENT_ID": "client", "OAUTH_CLIENT_SECRET": "secret",
                "OAUTH_REFRESH_TOKEN": "1//token", "OAUTH_TOKEN_URL": f"https://localhost:{TOKEN_PORT}/token"}  # fmt: skip
    log = open(roots.parent / f"{name}.log", "w")
    return subprocess.Popen([binary], env={f"SIDEPOST_{k}": v for k, v in env.items()}, stdout=log, stderr=log)


def send(name, recipients):
    message = {"to": recipients, "subject": "Your order", "text": "Thank you. " * random.randrange(10, 2000)}
    request = urllib.request.Request(
        f"http://127.0.0.1:{SIDECARS[name][0]}/v1/send", json.dumps(message).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except OSError:
        pass  # what becomes of it is what the dashboard shows


async def application(name, pause):
    while True:
        to = ["a@elsewhere.example"] if random.random() < 0.03 else ["ann@example.org", "bob@example.org"][: random.randrange(1, 3)]
        task = asyncio.create_task(asyncio.to_thread(send, name, to))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(random.expovariate(1 / pause))


async def main(binary, folder, seconds):
    global part
    context, roots = certificate(folder)
    listening = {"host": "127.0.0.1", "port": SMTP_PORT, "ssl": context}
    server = await asyncio.start_server(provider, **listening)
    tokens = await asyncio.start_server(issuer, "127.0.0.1", TOKEN_PORT, ssl=context)
    processes = [sidecar(binary, name, roots) for name in SIDECARS]
    try:
        began = time.time()
        await asyncio.sleep(2)
        applications = [asyncio.create_task(application("shop", 0.1)), asyncio.create_task(application("newsletter", 0.25))]
        for part in PARTS:
            if part in ("closed port", "refused login"):
                for writer in list(connections):
                    writer.transport.abort()
            if part == "closed port":
                server.close()
            await asyncio.sleep(seconds)
            if part == "closed port":
                server = await asyncio.start_server(provider, **listening)
        print(began, time.time())
        for task in applications:
            task.cancel()
        await asyncio.gather(*running)
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)
        tokens.close()
        server.close()


connections, running = set(), set()
if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3])))

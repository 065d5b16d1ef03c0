// Sends the messages of a task on standard input with Nodemailer, and says what became of each.
"use strict";

const fs = require("fs");
const path = require("path");

const target = process.env.CARGO_TARGET_DIR || path.join(__dirname, "../../target");
const nodemailer = require(path.join(target, "tools/clients/node_modules/nodemailer"));

const task = JSON.parse(fs.readFileSync(0));

const read = (file) => (file ? fs.readFileSync(file) : undefined);

function message(mail) {
  return {
    envelope: { from: mail.sender, to: [...mail.recipients, ...mail.hidden] },
    from: { name: mail.sender_name, address: mail.sender },
    to: mail.recipients,
    bcc: mail.hidden,
    subject: mail.subject,
    dsn: mail.notices
      ? { return: "headers", notify: ["success", "failure"], recipient: mail.recipients[0] }
      : undefined,
    text: mail.text,
    html: mail.html || undefined,
    headers: { "X-Mark": mail.mark },
    attachments: mail.attachments.map((file) => ({
      filename: file.name,
      contentType: file.type,
      content: Buffer.from(file.hex, "hex"),
    })),
  };
}

async function main() {
  const door = task.door;
  const transport = nodemailer.createTransport({
    host: door.host,
    port: door.port,
    name: "client.test",
    lmtp: door.lmtp,
    secure: door.tls === "implicit",
    requireTLS: door.tls === "starttls",
    ignoreTLS: door.tls === "none" && !door.upgrade,
    tls: { ca: read(door.ca_file), cert: read(door.certificate), key: read(door.key) },
    auth: door.login === "none" ? undefined : { user: door.user, pass: door.password },
    authMethod: door.login === "none" ? undefined : door.login,
    ...(task.transport || {}),
  });
  const send = (mail) =>
    transport.sendMail(message(mail)).then(
      // A sendmail has no reply, but an exit code, and one that is not 0 is an error.
      (info) => ({ code: task.transport?.sendmail ? 250 : Number(info.response.slice(0, 3)), said: JSON.stringify(info) }),
      (error) => ({ code: error.responseCode || 0, said: `${error.code}: ${error.message}` }),
    );
  // A pool gets everything at once, as an application would do it; without one each message has its connection.
  const results = await Promise.all(task.mails.map(send));
  transport.close();
  console.log("RESULTS " + JSON.stringify(results));
}

main();

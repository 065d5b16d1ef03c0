// Sends the messages of a task on standard input with Nodemailer, and says what became of each.
"use strict";

const fs = require("fs");
const path = require("path");

const target = process.env.CARGO_TARGET_DIR || path.join(__dirname, "../../target");
const nodemailer = require(path.join(target, "tools/clients/node_modules/nodemailer"));

const task = JSON.parse(fs.readFileSync(0));

function message(mail) {
  return {
    envelope: { from: mail.sender, to: mail.recipients },
    from: { name: mail.sender_name, address: mail.sender },
    to: mail.recipients,
    subject: mail.subject,
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
  const transport = nodemailer.createTransport({
    host: task.host,
    port: task.port,
    name: "client.test",
    ...(task.transport || {}),
  });
  const send = (mail) =>
    transport.sendMail(message(mail)).then(
      (info) => ({ code: Number(info.response.slice(0, 3)), said: JSON.stringify(info) }),
      (error) => ({ code: error.responseCode || 0, said: `${error.code}: ${error.message}` }),
    );
  // A pool gets everything at once, as an application would do it; without one each message has its connection.
  const results = await Promise.all(task.mails.map(send));
  transport.close();
  console.log("RESULTS " + JSON.stringify(results));
}

main();
